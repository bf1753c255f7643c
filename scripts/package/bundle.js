/**
 * Bundles the built program: one file for each thread, and files for what it
 * loads later. Only koffi stays a package of its own, because it finds its
 * binary beside itself. The files are CommonJS functions, which
 * installed/load.js runs.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Where Node enters, and the sources. As in the build, every file lies two
 * folders below package.json: the program finds its threads and its version
 * relative to its own files.
 */
const ENTRIES = {
  'program/main': 'src/main.ts',
  'config/aside-thread': 'src/config/aside-thread.ts',
  'data/thread': 'src/data/thread.ts',
}

/** What the files have in common with the loader: each is a function of these. */
const PARAMETERS = 'require, module, exports, moduleUrl'

/** @type {import('esbuild').TransformOptions} */
const SMALL = {
  platform: 'node',
  target: 'node20',
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
}

/** @type {import('esbuild').TransformOptions} */
const AS_COMMONJS = { ...SMALL, format: 'cjs', supported: { 'dynamic-import': false } }

/**
 * A module of the bundle as a function that the loader calls.
 * @param {string} module
 */
const asFunction = async module => {
  // The command starts it with the Node of this host's choice, so it is no program by itself.
  const { code } = await transform(module.replace(/^#!.*\n/, ''), AS_COMMONJS)
  return `(function (${PARAMETERS}) {${code}})\n`
}

/**
 * Each thread is bundled by itself. Bundled together they would share files,
 * and Node would load 16 files, one after another, before the data thread can
 * begin, and 12 before the configuration can be read; so it is 4 and 1.
 * @param {string} folder where the bundle is written
 */
export const bundle = async folder => {
  /** @param {string} path @param {string} content */
  const put = (path, content) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  for (const [entry, from] of Object.entries(ENTRIES)) {
    const { outputFiles } = await build({
      ...SMALL,
      absWorkingDir: ROOT,
      logLevel: 'warning',
      bundle: true,
      entryPoints: [from],
      outdir: folder,
      entryNames: '[name]',
      chunkNames: '[name]-[hash]',
      splitting: true,
      format: 'esm',
      external: ['koffi'],
      define: { 'import.meta.url': 'moduleUrl' },
      write: false,
    })
    for (const { path, text } of outputFiles)
      put(join('bundle', basename(path)), await asFunction(text))
    put(`${entry}.js`, `require('../load.js').load('${basename(from, '.ts')}.js')\n`)
  }
  for (const file of ['load.js', 'compile.js']) {
    const source = readFileSync(new URL(`installed/${file}`, import.meta.url), 'utf8')
    const { code } = await transform(source, {
      ...AS_COMMONJS,
      define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
    })
    put(file, code)
  }
}
