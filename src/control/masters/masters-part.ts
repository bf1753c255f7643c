/** The list of masters as a part: who they are, from whichever source the configuration names. */
import type { Endpoint } from '../../boundary/messages.ts'
import { showEndpoint, type Config } from '../../config/config.ts'
import type { MastersStatus } from '../../ops/status.ts'
import type { Environment } from '../environment.ts'
import type { Part } from '../part.ts'
import { sameMasters } from './list.ts'
import { Masters } from './masters.ts'

export type MastersPartOptions = Environment & {
  /** Another list is in use. */
  readonly onChange: (masters: readonly Endpoint[]) => void
}

export class MastersPart implements Part {
  readonly name = 'masters'
  readonly #options: MastersPartOptions
  #from: NonNullable<Config['masters']> | undefined
  #masters: Masters | undefined
  /** The list in use. It outlives a reload, so that a change of source never passes through an empty list. */
  #list: readonly Endpoint[] = []
  #at = 0

  constructor(options: MastersPartOptions) {
    this.#options = options
  }

  /** The list in use, [] while none is known. */
  get list(): readonly Endpoint[] {
    return this.#list
  }

  wanted(config: Config): boolean {
    return config.masters !== undefined
  }

  start({ masters, stateDir }: Config): void {
    if (!masters) return
    const { log, random, http, resolve } = this.#options
    this.#from = masters
    const current = new Masters({
      from: { ...masters, addresses: masters.addresses.map(m => showEndpoint(m)) },
      refreshMs: masters.refresh,
      retryMs: masters.retry,
      random,
      stateDir,
      log: log.child({ part: 'masters' }),
      http,
      resolve,
      onChange: list => {
        if (this.#masters === current) this.#use(list)
      },
    })
    this.#masters = current
    // A list in the file needs no look.
    if (masters.source === 'static') this.#use(masters.addresses)
    // The first look may take as long as a lost host takes to be given up; nobody waits for it.
    void current.start()
  }

  #use(list: readonly Endpoint[]): void {
    this.#at = Date.now()
    if (sameMasters(list, this.#list)) return
    this.#list = list
    this.#options.onChange(list)
  }

  async reload(_before: Config, after: Config): Promise<void> {
    const old = this.#masters
    this.start(after)
    await old?.close()
  }

  async close(): Promise<void> {
    const old = this.#masters
    this.#masters = undefined
    this.#from = undefined
    this.#list = []
    await old?.close()
  }

  /** What is known of the masters; undefined when this cluster has none. */
  view(): MastersStatus | undefined {
    const from = this.#from
    const status = this.#masters?.status
    if (!from || !status) return undefined
    const { source } = from
    return {
      source,
      from: source === 'static' ? '' : source === 'dns' ? from.name : from[source],
      list: this.#list,
      at: this.#at,
      error: status.trouble,
      kept: status.origin === 'disk',
    }
  }
}
