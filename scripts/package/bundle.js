/**
 * Bundles the built program: one file for each thread, and chunks for what it
 * loads later. Only koffi stays a package of its own, because it finds its
 * binary beside itself.
 */
import { fileURLToPath } from 'node:url'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Every file lies two folders below package.json, as in the build: the program
 * finds its threads and its version relative to its own files.
 */
const ENTRIES = {
  'program/main': 'src/main.ts',
  'config/aside-thread': 'src/config/aside-thread.ts',
  'data/thread': 'src/data/thread.ts',
}

/** Packages written as CommonJS call `require` for what Node has built in. */
const REQUIRE =
  "import { createRequire as spartanRequire } from 'node:module';const require = spartanRequire(import.meta.url);"

/**
 * Each thread is bundled by itself. Bundled together they would share chunks,
 * and Node would load 16 files, one after another, before the data thread can
 * begin, and 12 before the configuration can be read; so it is 4 and 1.
 * @param {string} folder where the bundle is written
 */
export const bundle = async folder => {
  for (const [out, from] of Object.entries(ENTRIES))
    await build({
      absWorkingDir: ROOT,
      entryPoints: { [out]: from },
      outdir: folder,
      chunkNames: 'chunks/[name]-[hash]',
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      external: ['koffi'],
      banner: { js: REQUIRE },
      minifySyntax: true,
      minifyWhitespace: true,
      legalComments: 'none',
      logLevel: 'warning',
    })
  // The command starts it with the Node of this host's choice, so it is no program by itself.
  const main = join(folder, 'program/main.js')
  writeFileSync(main, readFileSync(main, 'utf8').replace(/^#!.*\n/, ''))
  chmodSync(main, 0o644)
}
