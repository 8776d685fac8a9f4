import { fileURLToPath } from "node:url";
import type { NextConfig } from "next";

const config: NextConfig = {
  poweredByHeader: false,
  // `npm run typecheck` looks at both halves; a build need not do it again.
  typescript: { ignoreBuildErrors: true },
  // The kit stands beside this site, not within it.
  turbopack: { root: fileURLToPath(new URL("..", import.meta.url)) },
};

export default config;
