import { createContactRoute } from "@fastcore/site";
import { CONSENT } from "../../consent";

export const { POST } = createContactRoute({ consent: CONSENT });
