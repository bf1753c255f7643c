/**
 * Builds the VIP table from the lines of the stream. A table that the daemon does not call complete yet only adds to
 * what is known: a daemon that has just started must not empty the kernel. Pure.
 */
import type { FeedLine, FeedVersion, FeedVip } from '../vip/feed.ts'

export type ReceivedTable = FeedVersion & { readonly vips: ReadonlyMap<string, FeedVip> }

export class Received {
  #session = ''
  #streamed = new Map<string, FeedVip>()
  #table: ReceivedTable | undefined

  /** Identifies the open stream in reports. */
  get session(): string {
    return this.#session
  }

  /** The table of the last complete version. */
  get table(): ReceivedTable | undefined {
    return this.#table
  }

  /** The version to continue from when the stream is opened again. */
  get since(): string {
    return this.#table?.version ?? ''
  }

  /** The stream broke: lines after the last complete version are dropped. */
  broken(): void {
    this.#session = ''
    this.#streamed = new Map(this.#whole)
  }

  #whole: ReadonlyMap<string, FeedVip> = new Map()

  /** Adds a line; returns true if it completes a version. */
  take(line: FeedLine): boolean {
    if ('session' in line) this.#session = line.session
    else if ('reset' in line) this.#streamed = new Map()
    else if ('set' in line) this.#streamed.set(line.set.key, line.set)
    else if ('drop' in line) this.#streamed.delete(line.drop)
    else if ('version' in line) {
      this.#whole = new Map(this.#streamed)
      const known = line.loaded ? [] : (this.#table?.vips ?? [])
      this.#table = { ...line, vips: new Map([...this.#whole, ...known]) }
      return true
    }
    return false
  }
}
