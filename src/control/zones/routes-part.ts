/** Builds the Snapshot with the data thread's routes, and sends it when it has changed. */
import type { Endpoint, Snapshot } from '../../boundary/messages.ts'
import type { Config } from '../../config/config.ts'
import type { Part } from '../part.ts'
import { FED_APEXES } from './apexes.ts'
import { APEX, reverseZones } from './local-zones.ts'
import { SnapshotBuilder } from './snapshot.ts'

export type RoutesPartOptions = {
  readonly listen: readonly Endpoint[]
  /** The configuration in use. */
  readonly config: () => Config
  /** The current masters; [] if none is known. */
  readonly masters: () => readonly Endpoint[]
  readonly send: (message: { type: 'snapshot'; snapshot: Snapshot }) => void
  readonly clearUpstream: (slot: number) => void
}

export class RoutesPart implements Part {
  readonly name = 'routes'
  /** The current Snapshot. */
  snapshot: Snapshot | undefined
  /** When it was sent, Unix milliseconds. */
  at = 0
  readonly #options: RoutesPartOptions
  readonly #builder: SnapshotBuilder
  #started = false
  #allow: readonly string[] = []

  constructor(options: RoutesPartOptions) {
    this.#options = options
    this.#builder = new SnapshotBuilder({
      now: () => performance.now(),
      clearUpstream: options.clearUpstream,
    })
  }

  start(config: Config): void {
    this.#started = true
    this.#allow = config.allow
    this.publish()
  }

  reload(_before: Config, after: Config): void {
    this.start(after)
  }

  close(): void {}

  /** The networks attached to this host have changed. */
  allow(allow: readonly string[]): void {
    this.#allow = allow
    this.publish()
  }

  /** Upstreams that have a slot in the counters. */
  get upstreams(): { slot: number; name: string }[] {
    return this.#builder.upstreams
  }

  /** Sends the current routes. Does nothing before `start`. */
  publish(): void {
    if (!this.#started) return
    const { listen, send, config } = this.#options
    const { clusterId, upstreams, forwardZones, zones, masters } = config()
    this.snapshot = this.#builder.build({
      clusterId,
      masters: masters ? this.#options.masters() : undefined,
      local: [
        'spartan',
        'localhost',
        'zk',
        APEX,
        `thisnode.${APEX}`,
        ...FED_APEXES,
        ...Object.keys(zones).map(label => `${label}.${APEX}`),
        ...reverseZones(listen).keys(),
      ],
      forwardZones,
      upstreams,
      allow: this.#allow,
    })
    this.at = Date.now()
    send({ type: 'snapshot', snapshot: this.snapshot })
  }
}
