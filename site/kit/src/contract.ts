/** The JSON that a website and FASTCore exchange: generated from `contracts` by `make docs`. */

export type JsonValue = unknown;

export interface LeadSubmission {
  name?: string | null;
  email?: string | null;
  service?: string | null;
  message?: string;
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
  utm_id?: string | null;
  gclid?: string | null;
  gbraid?: string | null;
  wbraid?: string | null;
  fbclid?: string | null;
  msclkid?: string | null;
  ttclid?: string | null;
  li_fat_id?: string | null;
  landing_page?: string | null;
  page_title?: string | null;
  first_utm_source?: string | null;
  first_utm_medium?: string | null;
  first_utm_campaign?: string | null;
  first_utm_term?: string | null;
  first_utm_content?: string | null;
  first_utm_id?: string | null;
  first_referrer?: string | null;
  [unknown: string]: unknown;
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
      "additionalProperties": {
        "$ref": "#/$defs/JsonValue"
      },
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
        },
        "utm_id": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "gclid": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "gbraid": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "wbraid": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "fbclid": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "msclkid": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "ttclid": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "li_fat_id": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "landing_page": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "page_title": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "first_utm_source": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "first_utm_medium": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "first_utm_campaign": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "first_utm_term": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "first_utm_content": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "first_utm_id": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        },
        "first_referrer": {
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
    "email": {
      "anyOf": [
        {
          "format": "email",
          "type": "string"
        },
        {
          "type": "null"
        }
      ]
    },
    "service": {
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
    "message": {
      "maxLength": 10000,
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
  "type": "object"
} as const;
