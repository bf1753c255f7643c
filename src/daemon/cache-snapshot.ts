/**
 * The packet cache on disk: read at start, written periodically and at the end. A damaged file, or one of another
 * version, is ignored with a line in the log. Queries do not wait for the file: it is read after the sockets, and READY
 * does not depend on it.
 */
import { mkdir, open, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { constants } from 'node:fs'
import { codeOf, fail, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import type { Reason } from '../boundary/health.ts'
import type { Restored } from '../boundary/messages.ts'
import type { Config } from '../config/config.ts'
import type { Part } from '../control/part.ts'

export interface CacheOwner {
  /** Resolves when it has processed everything sent before; then it listens. */
  caughtUp(): Promise<void>
  dump(): Promise<Uint8Array>
  /** The memory of `bytes` is handed over. */
  restore(bytes: Uint8Array<ArrayBuffer>): Promise<Restored>
}

const EVERY_MS = 5 * 60_000

export class CacheSnapshot implements Part {
  readonly name = 'cache snapshot'
  readonly #owner: CacheOwner
  readonly #log: Log
  #path = ''
  /** Whether the last run's cache is no longer of interest. */
  #restored = false
  /** Resolves when the last run's cache has been restored, or cannot be. */
  read: Promise<void> = Promise.resolve()
  /** Whether it is being read now. */
  #restoring = false
  #trouble = ''
  /** Attempts to write it that failed. */
  failures = 0
  #timer: NodeJS.Timeout | undefined
  #writes: Promise<void> = Promise.resolve()

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
    if (this.#restored) await this.save()
    else {
      this.#restored = true
      this.read = this.#restore()
    }
    clearInterval(this.#timer)
    this.#timer = setInterval(() => void this.save(), EVERY_MS).unref()
  }

  reload(_before: Config, { cache }: Config): Promise<void> {
    this.#path = cache.snapshot
    return this.save()
  }

  /**
   * Writes the cache file now. Waits for a write that is under way, because both would use the same temporary file.
   * Never rejects.
   */
  save(): Promise<void> {
    return (this.#writes = this.#writes.then(() => this.#write()))
  }

  /** Writes once more, then stops. */
  async close(): Promise<void> {
    const wasRunning = this.#timer !== undefined
    clearInterval(this.#timer)
    this.#timer = undefined
    if (wasRunning) await this.save()
  }

  status(): readonly Reason[] {
    return this.#trouble === '' ? [] : [{ name: this.name, detail: this.#trouble }]
  }

  async #restore(): Promise<void> {
    const path = this.#path
    this.#restoring = true
    try {
      await this.#owner.caughtUp()
      const bytes = await this.#read(path)
      // Without a file, too: the data thread waits for the end of the restore.
      const restored = await this.#owner.restore(bytes ?? new Uint8Array())
      const { count, otherRoute, trouble } = restored
      if (!bytes) return
      if (trouble === '')
        this.#log.info('cache snapshot read', { path, entries: count, otherRoute })
      else this.#log.warn('the cache snapshot is not restored', { path, err: trouble })
    } catch (er) {
      this.#log.warn('the cache snapshot is not restored', { path, err: messageOf(er) })
    } finally {
      this.#restoring = false
    }
  }

  /** Undefined if there is no file that can be read. */
  async #read(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return await readPlainFile(path)
    } catch (er) {
      if (codeOf(er) !== 'ENOENT')
        this.#log.warn('the cache snapshot cannot be read', { path, err: messageOf(er) })
      return undefined
    }
  }

  /** Replaces the file, unless its content is still being restored: then it has more than the cache. */
  async #write(): Promise<void> {
    if (this.#restoring) return
    const beside = `${this.#path}.new`
    try {
      await mkdir(dirname(this.#path), { recursive: true })
      await writeFile(beside, await this.#owner.dump(), { mode: 0o600 })
      await rename(beside, this.#path)
      this.#trouble = ''
    } catch (er) {
      this.failures++
      this.#trouble = `cannot be written: ${messageOf(er)}`
      this.#log.warn('the cache snapshot cannot be written, the old one stays', {
        path: this.#path,
        err: messageOf(er),
      })
    }
  }
}

/** Opened with O_NONBLOCK, because opening a pipe would block this process forever. */
const readPlainFile = async (path: string): Promise<Uint8Array<ArrayBuffer>> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!(await file.stat()).isFile()) throw fail(`${path} is no plain file`, 'EDATA')
    // In memory of its own, which can be handed on.
    return new Uint8Array(await file.readFile())
  } finally {
    await file.close()
  }
}
