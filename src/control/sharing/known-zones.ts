/**
 * Of which zones in the gossip everything is known, so that a name that is missing does not exist: of those that are
 * complete, and of those that nobody has published and no member will. The others are waited for. Pure.
 */
import type { Config } from '../../config/config.ts'
import type { SharedZoneStatus } from './shared-zone.ts'

/** The tag of nodes that follow a Mesos master, and so may publish the zones. */
const ZONES_TAG = 'zones'

/** What a node says of itself to the other members. */
export const tagsOf = ({ mesos }: Config): Record<string, string> =>
  mesos?.master ? { [ZONES_TAG]: '1' } : {}

export const publishesZones = (config: Config): boolean => ZONES_TAG in tagsOf(config)

/** A member that publishes zones, or will when it is back. */
export const isPublisher = (member: {
  readonly state: string
  readonly tags: Readonly<Record<string, string>>
}): boolean => member.state !== 'left' && ZONES_TAG in member.tags

export class KnownZones {
  readonly #undecided: Set<string>

  constructor(apexes: readonly string[]) {
    this.#undecided = new Set(apexes)
  }

  /** Whether there is nothing left to decide. */
  get all(): boolean {
    return this.#undecided.size === 0
  }

  /** The zone has been passed on to DNS after the first exchange with the ring, so nothing of it is missing. */
  came(apex: string): void {
    this.#undecided.delete(apex)
  }

  /** The zones that are known from now on. `awaited`: a member of the ring publishes zones. */
  decide(
    zones: readonly Pick<SharedZoneStatus, 'apex' | 'from' | 'whole'>[],
    awaited: boolean,
  ): string[] {
    const known = zones
      .filter(
        ({ apex, from, whole }) =>
          this.#undecided.has(apex) && (whole || (from === '' && !awaited)),
      )
      .map(({ apex }) => apex)
    for (const apex of known) this.#undecided.delete(apex)
    return known
  }
}
