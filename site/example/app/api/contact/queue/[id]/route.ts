import { createQueueRoutes } from "@fastcore/site";

export const { DELETE } = createQueueRoutes();
