import { createHealthRoute } from "@fastcore/site";

export const { GET } = createHealthRoute();
