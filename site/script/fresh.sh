#!/usr/bin/env bash
# Check the kit as a package, and build the pages of its README, word by word, on newly generated sites, all at the same
# time. `tests/fresh` runs this and opens the sites in a browser. Needs the package registry. The generator of Astro needs
# GitHub, so the site of Astro has its packages alone, as that of Hono.
set -euo pipefail
fresh=${1:?"usage: fresh.sh FOLDER, an empty folder that gets next-15, next-16, sveltekit, hono and astro"}
site=$(cd "$(dirname "$0")/.." && pwd)
kit=$fresh/kit.tgz
cd "$site/kit"
mv "$fresh/$(npm pack --silent --pack-destination "$fresh")" "$kit"

check_package() {
  cd "$site/kit"
  npx publint run "$kit" --strict
  npx attw "$kit" --profile esm-only
  npm publish "$kit" --dry-run --access public
}

build_next() {
  local version=$1
  cd "$fresh"
  npx --yes "create-next-app@$version" "next-$version" --ts --app --no-eslint --no-tailwind --no-src-dir \
    --import-alias "@/*" --use-npm --disable-git --skip-install --yes
  cd "next-$version"
  node "$site/script/readme-files.js" "$site/kit/README.md" Installation .
  if ! grep -q cacheComponents next.config.ts; then sed -i '/only with cacheComponents/d' app/contact/page.tsx; fi
  # The fonts of the generated layout come from a server that a build need not reach.
  sed -i '/next\/font/d; /^const geist/,/^});/d; s/ className={`[^`]*`}//' app/layout.tsx
  npm install --loglevel error --prefer-offline "$kit"
  npm run build
}

build_sveltekit() {
  cd "$fresh"
  npx --yes sv create sveltekit --template minimal --types ts --add sveltekit-adapter=adapter:node --no-install
  cd sveltekit
  node "$site/script/readme-files.js" "$site/kit/README.md" SvelteKit .
  npm install --loglevel error --prefer-offline "$kit"
  npm run check
  npm run build
}

make_package() {
  mkdir "$fresh/$1"
  cd "$fresh/$1"
  echo '{"name": "contact-site", "private": true, "type": "module"}' >package.json
  shift
  npm install --loglevel error --no-audit --no-fund --prefer-offline "$kit" "$@"
}

build_hono() {
  make_package hono hono @hono/node-server
  node "$site/script/readme-files.js" "$site/kit/README.md" Hono .
}

build_astro() {
  # Astro 6 needs Node.js 22.
  if node -e 'process.exit(Number.parseInt(process.versions.node) < 22)'; then make_package astro astro @astrojs/node
  else make_package astro astro@5 @astrojs/node@9
  fi
  node "$site/script/readme-files.js" "$site/kit/README.md" Astro .
  sed -i 's/www.example.com/127.0.0.1/' astro.config.mjs
  mkdir -p src/pages
  echo '<html lang="en"><body><a href="/contact">Contact</a></body></html>' >src/pages/index.astro
  npx astro build
}

export NEXT_TELEMETRY_DISABLED=1 ASTRO_TELEMETRY_DISABLED=1
declare -A running
start() { "$@" >"$fresh/$1${2:+-$2}.log" 2>&1 & running[$1${2:+-$2}]=$!; }
start check_package
start build_next 15
start build_next 16
start build_sveltekit
start build_hono
start build_astro
failed=0
for name in "${!running[@]}"; do
  wait "${running[$name]}" || { failed=1; echo "$name failed:"; tail -n 40 "$fresh/$name.log"; }
done
[ $failed = 0 ] || exit 1
for version in 15 16; do
  # Prerendered, the page would show each visitor one form, and the health check what was true at the build.
  grep -Eq '(ƒ|◐) /contact( |$)' "$fresh/build_next-$version.log"
  grep -q 'ƒ /api/contact/ready' "$fresh/build_next-$version.log"
done
