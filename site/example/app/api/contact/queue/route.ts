import { createQueueRoutes } from "@fastcore/site";

export const { GET } = createQueueRoutes();
