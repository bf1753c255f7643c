/**
 * Keeps the list of masters up to date: reads the source on schedule (and when a watched file changes), reports
 * changes, and stores the last good list on disk for a restart during an outage.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Endpoint } from '../../boundary/messages.ts'
import { codeOf, messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import { retryAfterOf } from '../../http/client.ts'
import { hostPort } from '../../base/ip.ts'
import { Combined } from '../feeds/combined.ts'
import { readText, Watch } from '../feeds/watch.ts'
import { mastersOf } from './list.ts'
import {
  afterLook,
  noMasters,
  type Look,
  type MastersState,
  type ScheduleOptions,
} from './schedule.ts'
import type { ZkWatch } from './zk-watch.ts'
import { readMasters, type MasterSource, type SourceNeeds } from './sources.ts'

const FILE = 'masters.json'
const MAX_BYTES = 256 * 1024

export type MastersOptions = SourceNeeds &
  ScheduleOptions & {
    readonly from: MasterSource
    /** Folder for the last good list; '' keeps nothing. */
    readonly stateDir: string
    readonly log: Log
    readonly onChange: (masters: readonly Endpoint[]) => void
    /** For source 'zk': watches ZooKeeper. Closed together with this object. */
    readonly zk?: ZkWatch | undefined
    /** Interval of checks of a watched file without a notification. */
    readonly watchMs?: number
  }

export type MastersStatus = MastersState & {
  readonly source: MasterSource['source']
  readonly looks: number
}

export class Masters {
  readonly #options: MastersOptions
  readonly #closing = new AbortController()
  #state: MastersState = noMasters
  #looks = 0
  readonly #looking = new Combined(async () => this.#took(await this.#ask()))
  #timer: NodeJS.Timeout | undefined
  #watch: Watch | undefined

  constructor(options: MastersOptions) {
    this.#options = options
  }

  /** The current list; empty only before the first successful read of a node without a stored list. */
  get masters(): readonly Endpoint[] {
    return this.#state.masters
  }

  get status(): MastersStatus {
    return { ...this.#state, source: this.#options.from.source, looks: this.#looks }
  }

  /**
   * Uses the stored list at once, then reads the source for the first time; resolves after that, whatever the
   * result.
   */
  async start(): Promise<void> {
    const { from, watchMs } = this.#options
    // a list in the configuration is always available
    if (from.source !== 'static')
      await this.#took({ type: 'stored', masters: await this.#stored() })
    if (this.#closing.signal.aborted) return
    if (from.source === 'file') {
      this.#watch = new Watch(
        [from.file],
        () => void this.look(),
        watchMs === undefined ? {} : { everyMs: watchMs },
      )
    }
    this.#options.zk?.start(() => void this.look())
    await this.look()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#options.zk?.close()
    clearTimeout(this.#timer)
    this.#watch?.close()
    await this.#looking.close()
  }

  /** Reads the source now; calls during a read are combined into one more read. */
  look(): Promise<void> {
    return this.#looking.run()
  }

  async #ask(): Promise<Look> {
    this.#looks++
    const { from, zk } = this.#options
    const needs = { ...this.#options, ...(zk ? { watched: () => zk.hosts } : {}) }
    try {
      return {
        type: 'good',
        masters: await readMasters(from, needs, this.#closing.signal),
      }
    } catch (er) {
      return { type: 'failed', why: messageOf(er), askedMs: retryAfterOf(er) }
    }
  }

  /** Applies the schedule's decision after a read. */
  async #took(look: Look): Promise<void> {
    if (this.#closing.signal.aborted) return
    const { log, onChange, from } = this.#options
    const before = this.#state
    const { state, changed, store, nextMs } = afterLook(before, look, this.#options)
    this.#state = state
    if (state.trouble !== '' && state.trouble !== before.trouble) {
      log.warn('the list of masters cannot be had, the last good one stays', {
        source: from.source,
        err: state.trouble,
      })
    }
    if (changed) {
      log.info('the masters are', {
        origin: state.origin,
        masters: state.masters.map(m => hostPort(m.address, m.port)),
      })
      onChange(state.masters)
    }
    if (look.type !== 'stored') {
      clearTimeout(this.#timer)
      // a list in the configuration does not change
      if (from.source !== 'static') this.#timer = setTimeout(() => void this.look(), nextMs)
    }
    if (store && from.source !== 'static') await this.#store(state.masters)
  }

  async #stored(): Promise<Endpoint[]> {
    const { stateDir, from, log } = this.#options
    if (stateDir === '') return []
    try {
      return mastersOf(JSON.parse(await readText(join(stateDir, FILE), MAX_BYTES)), from.port)
    } catch (er) {
      if (codeOf(er) !== 'ENOENT')
        log.warn('the stored list of masters cannot be used', { err: messageOf(er) })
      return []
    }
  }

  /** Written to a new file and renamed, so that a crash leaves either the old or the new list. */
  async #store(masters: readonly Endpoint[]): Promise<void> {
    const { stateDir, log } = this.#options
    if (stateDir === '') return
    const path = join(stateDir, FILE)
    const beside = `${path}.new`
    try {
      await mkdir(stateDir, { recursive: true })
      await writeFile(beside, `${JSON.stringify(masters.map(m => hostPort(m.address, m.port)))}\n`)
      await rename(beside, path)
    } catch (er) {
      log.warn('the list of masters cannot be stored', { path, err: messageOf(er) })
    }
  }
}
