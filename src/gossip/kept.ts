/**
 * A number on disk that may only grow, such as a node's incarnation: it is written before others see it, so that the
 * next process goes past it even if this one crashes and the wall clock is set back.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'

export class KeptNumber {
  readonly #file: string
  readonly #name: string
  readonly #log: Log

  /** @param file JSON with the number under this name; '' for none */
  constructor(file: string, name: string, log: Log) {
    this.#file = file
    this.#name = name
    this.#log = log
  }

  /** The number on disk. 0 if there is none, or if it is not below `limit` and therefore must be wrong. */
  read(limit: number): number {
    if (this.#file === '') return 0
    try {
      const json = JSON.parse(readFileSync(this.#file, 'utf8')) as Record<string, unknown> | null
      const kept = json?.[this.#name]
      return typeof kept === 'number' && kept > 0 && kept < limit ? Math.floor(kept) : 0
    } catch (er) {
      if ((er as { code?: string }).code !== 'ENOENT')
        this.#log.warn('the gossip state cannot be read', {
          file: this.#file,
          error: messageOf(er),
        })
      return 0
    }
  }

  /** Written to a new file and renamed, so that a crash leaves the old number or the new one. */
  write(kept: number): void {
    if (this.#file === '') return
    try {
      writeFileSync(`${this.#file}.new`, `${JSON.stringify({ [this.#name]: kept })}\n`)
      renameSync(`${this.#file}.new`, this.#file)
    } catch (er) {
      this.#log.warn('the gossip state cannot be written', {
        file: this.#file,
        error: messageOf(er),
      })
    }
  }
}
