/**
 * Loads the files of the bundle in an installed spartan. They are CommonJS, because V8 takes compiled code only for
 * scripts. compile.js makes that code when spartan is installed. Without it, and where it was made by another Node, for
 * another file, or is damaged, V8 compiles the file as usual.
 */
import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Script } from 'node:vm'
import { crc32 } from 'node:zlib'

export const BUNDLE = join(import.meta.dirname, 'bundle')
/** Below it, a folder for each Node. */
export const COMPILED = join(import.meta.dirname, '../compiled')

/**
 * The folder of what this Node compiled. V8 only compares its own version, and ends the process when code comes from
 * another build of it; distributions build one version of Node several times.
 */
export const compiledHere = () =>
  join(COMPILED, `${process.version}-${process.arch}-${statSync(process.execPath).size}`)

/** Length of the checksum at the end of a compiled file, octets. */
const CHECKSUM = 4

/**
 * The checksum of compiled code and its source. V8 compares only the length of the source, and ends the process when
 * code is damaged.
 * @param {Uint8Array} code
 * @param {Uint8Array} source
 */
export const checksum = (code, source) => crc32(source, crc32(code))

/**
 * The compiled code of a file; undefined if there is none that can be used.
 * @param {string} folder
 * @param {string} name
 * @param {Uint8Array} source
 */
const compiledOf = (folder, name, source) => {
  /** @type {Buffer} */
  let whole
  try {
    whole = readFileSync(join(folder, name))
  } catch {
    return undefined
  }
  if (whole.length <= CHECKSUM) return undefined
  const code = whole.subarray(0, -CHECKSUM)
  return whole.readUInt32LE(code.length) === checksum(code, source) ? code : undefined
}

/**
 * A file of the bundle as a script, whose value is a function of `require`, `module`, `exports` and the file's URL.
 * @param {string} name
 * @param {string} folder where its compiled code may be
 */
export const scriptOf = (name, folder) => {
  const filename = join(BUNDLE, name)
  const source = readFileSync(filename)
  const cachedData = compiledOf(folder, name, source)
  return new Script(source.toString(), { filename, ...(cachedData && { cachedData }) })
}

const outside = createRequire(import.meta.filename)
/** @type {Map<string, { exports: unknown }>} */
const loaded = new Map()
const folder = compiledHere()

/**
 * Runs a file of the bundle once, and what it requires.
 * @param {string} name
 * @returns {unknown} its exports
 */
export const load = name => {
  const known = loaded.get(name)
  if (known) return known.exports
  const module = { exports: {} }
  loaded.set(name, module)
  /** @param {string} id */
  const require = id => (id.startsWith('./') ? load(id.slice(2)) : outside(id))
  try {
    const run = scriptOf(name, folder).runInThisContext()
    run(require, module, module.exports, pathToFileURL(join(BUNDLE, name)).href)
  } catch (er) {
    loaded.delete(name)
    throw er
  }
  return module.exports
}
