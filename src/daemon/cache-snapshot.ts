/**
 * The packet cache on disk: read at start, written periodically and at the end. A damaged or unknown file is ignored
 * with a line in the log.
 */
import { mkdir, open, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { constants } from 'node:fs'
import { codeOf, fail, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import type { Reason } from '../boundary/health.ts'
import type { Config } from '../config/config.ts'
import type { Part } from '../control/part.ts'

export interface CacheOwner {
  dump(): Promise<Uint8Array>
  restore(bytes: Uint8Array): Promise<number>
}

const EVERY_MS = 5 * 60_000

export class CacheSnapshot implements Part {
  readonly name = 'cache snapshot'
  readonly #owner: CacheOwner
  readonly #log: Log
  #path = ''
  #restored = false
  #trouble = ''
  #timer: NodeJS.Timeout | undefined

  constructor(owner: CacheOwner, log: Log) {
    this.#owner = owner
    this.#log = log
  }

  wanted(config: Config): boolean {
    // A cache that was in use without a file is newer than any file.
    if (config.cache.snapshot === '') this.#restored = true
    return config.cache.snapshot !== ''
  }

  /**
   * Rejects if the folder cannot be created. The file is only read when the process starts; one that is configured
   * later is only written.
   */
  async start({ cache }: Config): Promise<void> {
    this.#path = cache.snapshot
    await mkdir(dirname(this.#path), { recursive: true })
    if (this.#restored) await this.#write()
    else {
      this.#restored = true
      await this.#restore()
    }
    clearInterval(this.#timer)
    this.#timer = setInterval(() => void this.#write(), EVERY_MS).unref()
  }

  reload(_before: Config, { cache }: Config): Promise<void> {
    this.#path = cache.snapshot
    return this.#write()
  }

  /** Writes once more, then stops. */
  async close(): Promise<void> {
    const wasRunning = this.#timer !== undefined
    clearInterval(this.#timer)
    this.#timer = undefined
    if (wasRunning) await this.#write()
  }

  status(): readonly Reason[] {
    return this.#trouble === '' ? [] : [{ name: this.name, detail: this.#trouble }]
  }

  async #restore(): Promise<void> {
    try {
      const count = await this.#owner.restore(await readPlainFile(this.#path))
      this.#log[count > 0 ? 'info' : 'warn']('cache snapshot read', {
        path: this.#path,
        entries: count,
      })
    } catch (er) {
      if (codeOf(er) === 'ENOENT') return
      this.#log.warn('the cache snapshot cannot be read', { path: this.#path, err: messageOf(er) })
    }
  }

  async #write(): Promise<void> {
    const beside = `${this.#path}.new`
    try {
      await mkdir(dirname(this.#path), { recursive: true })
      await writeFile(beside, await this.#owner.dump(), { mode: 0o600 })
      await rename(beside, this.#path)
      this.#trouble = ''
    } catch (er) {
      this.#trouble = `cannot be written: ${messageOf(er)}`
      this.#log.warn('the cache snapshot cannot be written, the old one stays', {
        path: this.#path,
        err: messageOf(er),
      })
    }
  }
}

/** Opened with O_NONBLOCK, because opening a pipe would block this process forever. */
const readPlainFile = async (path: string): Promise<Buffer> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!(await file.stat()).isFile()) throw fail(`${path} is no plain file`, 'EDATA')
    return await file.readFile()
  } finally {
    await file.close()
  }
}
