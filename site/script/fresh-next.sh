#!/usr/bin/env bash
# Build the pages of kit/README.md, word by word, on a freshly generated Next.js site. Needs the package registry.
set -euo pipefail
version=${1:?"usage: fresh-next.sh VERSION, such as 16"}
site=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent --pack-destination . "$site/kit" >/dev/null
npx --yes "create-next-app@$version" app --ts --app --no-eslint --no-tailwind --no-src-dir --import-alias "@/*" \
  --use-npm --disable-git --skip-install --yes >/dev/null
cd app
node "$site/script/readme-files.js" "$site/kit/README.md" .
# The fonts of the generated layout come from a server that a build need not reach.
sed -i '/next\/font/d; /^const geist/,/^});/d; s/ className={`[^`]*`}//' app/layout.tsx
npm install --silent --no-audit --no-fund --prefer-offline ../fastcore-site-*.tgz
npx next build | tee build.log
grep -Eq '(ƒ|◐) /contact$|(ƒ|◐) /contact ' build.log
grep -q 'ƒ /api/contact/ready' build.log # it would answer what was true at the build
