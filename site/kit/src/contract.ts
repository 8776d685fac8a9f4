/** The JSON that a website and FASTCore exchange: generated from `contracts` by `make docs`. */

export type JsonValue = unknown;

export interface LeadSubmission {
  name: string;
  email: string;
  service: string;
  message: string;
  phone?: string | null;
  company?: string | null;
  consent?: boolean | null;
  locale?: string | null;
  submitted_at?: string | null;
  source?: Source | null;
  request_id?: string | null;
  meta?: Meta | null;
  [unknown: string]: unknown;
}

export interface Meta {
  ip?: JsonValue;
  user_agent?: JsonValue;
  honeypot?: JsonValue;
  form_rendered_at?: JsonValue;
  fill_seconds?: JsonValue;
  consent_text?: string | null;
  consent_version?: string | null;
}

export interface SiteQueueEntry {
  id: string;
  idempotencyKey: string;
  queuedAt: string;
  traceparent?: string | null;
  body: JsonValue;
}

export interface SiteQueuePage {
  entries: readonly unknown[];
  depth: number;
  oldestQueuedAt?: string | null;
  damaged?: number;
  writeError?: string | null;
}

export interface Source {
  page_url?: string | null;
  referrer?: string | null;
  utm_source?: string | null;
  utm_medium?: string | null;
  utm_campaign?: string | null;
  utm_term?: string | null;
  utm_content?: string | null;
}

export const leadSubmissionSchema = {
  "$defs": {
    "JsonValue": {},
    "Meta": {
      "properties": {
        "ip": {
          "$ref": "#/$defs/JsonValue"
        },
        "user_agent": {
          "$ref": "#/$defs/JsonValue"
        },
        "honeypot": {
          "$ref": "#/$defs/JsonValue"
        },
        "form_rendered_at": {
          "$ref": "#/$defs/JsonValue"
        },
        "fill_seconds": {
          "$ref": "#/$defs/JsonValue"
        },
        "consent_text": {
          "anyOf": [
            {
              "maxLength": 2000,
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "consent_version": {
          "anyOf": [
            {
              "maxLength": 200,
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "type": "object"
    },
    "Source": {
      "properties": {
        "page_url": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "referrer": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "utm_source": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "utm_medium": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "utm_campaign": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "utm_term": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "utm_content": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "type": "object"
    }
  },
  "additionalProperties": {
    "$ref": "#/$defs/JsonValue"
  },
  "properties": {
    "name": {
      "maxLength": 200,
      "minLength": 1,
      "type": "string"
    },
    "email": {
      "format": "email",
      "type": "string"
    },
    "service": {
      "maxLength": 200,
      "minLength": 1,
      "type": "string"
    },
    "message": {
      "maxLength": 10000,
      "minLength": 1,
      "type": "string"
    },
    "phone": {
      "anyOf": [
        {
          "maxLength": 200,
          "type": "string"
        },
        {
          "type": "null"
        }
      ]
    },
    "company": {
      "anyOf": [
        {
          "maxLength": 200,
          "type": "string"
        },
        {
          "type": "null"
        }
      ]
    },
    "consent": {
      "anyOf": [
        {
          "type": "boolean"
        },
        {
          "type": "null"
        }
      ]
    },
    "locale": {
      "anyOf": [
        {
          "type": "string"
        },
        {
          "type": "null"
        }
      ]
    },
    "submitted_at": {
      "anyOf": [
        {
          "format": "date-time",
          "type": "string"
        },
        {
          "type": "null"
        }
      ]
    },
    "source": {
      "anyOf": [
        {
          "$ref": "#/$defs/Source"
        },
        {
          "type": "null"
        }
      ]
    },
    "request_id": {
      "anyOf": [
        {
          "pattern": "^[\\x20-\\x7e]{1,255}$",
          "type": "string"
        },
        {
          "type": "null"
        }
      ]
    },
    "meta": {
      "anyOf": [
        {
          "$ref": "#/$defs/Meta"
        },
        {
          "type": "null"
        }
      ]
    }
  },
  "required": [
    "name",
    "email",
    "service",
    "message"
  ],
  "type": "object"
} as const;
