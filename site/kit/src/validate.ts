/** Validates a value against a JSON Schema. Supports only the keywords that the generated contract uses. */

import { isEmail } from "./email.js";

export type Rule = "required" | "tooLong" | "email" | "invalid";

export interface Violation {
  readonly field: string;
  readonly rule: Rule;
  readonly limit?: number;
}

export interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
  readonly type?: "object" | "string" | "boolean" | "null";
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly required?: readonly string[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: "email" | "date-time";
}

/** Return each violation of the schema, with the dotted name of the field. */
export function validate(value: unknown, root: Schema): Violation[] {
  return check(value, root, root, "");
}

function check(value: unknown, schema: Schema, root: Schema, field: string): Violation[] {
  if (schema.$ref) {
    const found = root.$defs?.[schema.$ref.replace("#/$defs/", "")];
    return found ? check(value, found, root, field) : [];
  }
  if (schema.anyOf) {
    const found = schema.anyOf.map((each) => check(value, each, root, field));
    // If all alternatives fail, report the one whose type matches the value: it has the most specific error.
    return (
      found.find((each) => !each.length) ??
      found.find((each) => each[0]?.rule !== "invalid") ??
      found[0] ??
      []
    );
  }
  switch (schema.type) {
    case "object":
      return isObject(value) ? checkObject(value, schema, root, field) : [{ field, rule: "invalid" }];
    case "string":
      return typeof value === "string" ? checkText(value, schema, field) : [{ field, rule: "invalid" }];
    case "boolean":
      return typeof value === "boolean" ? [] : [{ field, rule: "invalid" }];
    case "null":
      return value === null ? [] : [{ field, rule: "invalid" }];
    default:
      return [];
  }
}

function checkObject(
  value: Record<string, unknown>,
  schema: Schema,
  root: Schema,
  field: string,
): Violation[] {
  const within = (name: string) => (field ? `${field}.${name}` : name);
  const missing = (schema.required ?? [])
    .filter((name) => value[name] === undefined)
    .map((name): Violation => ({ field: within(name), rule: "required" }));
  const wrong = Object.entries(value).flatMap(([name, each]) => {
    const known = schema.properties?.[name] ?? schema.additionalProperties;
    return known && each !== undefined ? check(each, known, root, within(name)) : [];
  });
  return [...missing, ...wrong];
}

function checkText(value: string, schema: Schema, field: string): Violation[] {
  const length = [...value].length; // characters, as JSON Schema counts them
  if (schema.minLength !== undefined && length < schema.minLength) return [{ field, rule: "required" }];
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    return [{ field, rule: "tooLong", limit: schema.maxLength }];
  }
  if (schema.format === "email" && !isEmail(value)) return [{ field, rule: "email" }];
  if (schema.format === "date-time" && Number.isNaN(Date.parse(value))) return [{ field, rule: "invalid" }];
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, "u").test(value)) {
    return [{ field, rule: "invalid" }];
  }
  return [];
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
