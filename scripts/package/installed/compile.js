/**
 * Compiles the bundle for the Node that runs this, so that spartan starts in two thirds of the time (load.js uses the
 * result). Everything is compiled, though a start needs half of it: which half depends on the configuration.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { BUNDLE, checksum, COMPILED, compiledHere, scriptOf } from './load.js'

// The daemon, which is another user, reads it.
process.umask(0o022)
const folder = compiledHere()
const fresh = `${folder}.new`
rmSync(COMPILED, { recursive: true, force: true })
try {
  mkdirSync(fresh, { recursive: true })
  for (const name of readdirSync(BUNDLE)) {
    setFlagsFromString('--no-lazy')
    const script = scriptOf(name, fresh)
    // V8 takes code only under the settings that it was written with.
    setFlagsFromString('--lazy')
    const code = script.createCachedData()
    const sum = Buffer.alloc(4)
    sum.writeUInt32LE(checksum(code, readFileSync(join(BUNDLE, name))))
    writeFileSync(join(fresh, name), Buffer.concat([code, sum]))
  }
  renameSync(fresh, folder)
} catch (er) {
  rmSync(COMPILED, { recursive: true, force: true })
  throw er
}
