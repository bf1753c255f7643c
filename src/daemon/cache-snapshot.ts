/**
 * The packet cache on disk: read at start, written now and then and at the
 * end. A file that is damaged, half written or of another version is passed
 * over with a line in the log; it is only a help.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'

export interface CacheOwner {
  dump(): Promise<Uint8Array>
  restore(bytes: Uint8Array): Promise<number>
}

const EVERY_MS = 5 * 60_000

export class CacheSnapshot {
  readonly #path: string
  readonly #owner: CacheOwner
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined

  /** '' as path keeps nothing. */
  constructor(path: string, owner: CacheOwner, log: Log) {
    this.#path = path
    this.#owner = owner
    this.#log = log
  }

  async restore(): Promise<void> {
    if (this.#path === '') return
    this.#timer = setInterval(() => void this.#write(), EVERY_MS).unref()
    try {
      const bytes = await readFile(this.#path)
      const count = await this.#owner.restore(bytes)
      this.#log[count > 0 ? 'info' : 'warn']('cache snapshot read', {
        path: this.#path,
        entries: count,
      })
    } catch (er) {
      if (codeOf(er) !== 'ENOENT')
        this.#log.warn('the cache snapshot cannot be read', {
          path: this.#path,
          err: messageOf(er),
        })
    }
  }

  /** The last write; no more follow. */
  async save(): Promise<void> {
    clearInterval(this.#timer)
    if (this.#path !== '') await this.#write()
  }

  async #write(): Promise<void> {
    const beside = `${this.#path}.new`
    try {
      await mkdir(dirname(this.#path), { recursive: true })
      await writeFile(beside, await this.#owner.dump(), { mode: 0o600 })
      await rename(beside, this.#path)
    } catch (er) {
      this.#log.warn('the cache snapshot cannot be written, the old one stays', {
        path: this.#path,
        err: messageOf(er),
      })
    }
  }
}
