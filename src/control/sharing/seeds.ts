/** The members through which this node finds the ring: those of the configuration, and the masters if it says so. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../base/log.ts'
import type { Endpoint } from '../../boundary/messages.ts'
import type { Config } from '../../config/config.ts'
import type { Gossip } from '../../gossip/service.ts'

/** If none of the new seeds answers, they are tried again after this time, this often. Then the ring tries them. */
const REJOIN_MS = 5_000
const REJOINS = 6

/** The same text for the same seed. */
export const keyOf = ({ address, port }: Endpoint): string => `${address} ${port}`

/**
 * The current seeds. `more` is true if others may come, so that a node without seeds is not told that it is alone.
 * `learnt`: the masters as they are known now.
 */
export const seedsOf = (
  { gossip, masters }: Config,
  learnt: readonly Endpoint[],
): { seeds: readonly Endpoint[]; more: boolean } => {
  const { seeds = [], seedMasters = false, bind } = gossip ?? {}
  if (!seedMasters || !masters || !bind) return { seeds, more: false }
  const isStatic = masters.source === 'static'
  // The gossip starts before the masters are read, which a list in the configuration need not be.
  const list = isStatic ? masters.addresses : learnt
  const all = [...seeds, ...list.map(({ address }) => ({ address, port: bind.port }))]
  return { seeds: [...new Map(all.map(at => [keyOf(at), at])).values()], more: !isStatic }
}

/** Asks seeds to join until one of them has answered, or the gossip is another one. */
export const joinThrough = async (
  gossip: Gossip,
  seeds: readonly Endpoint[],
  isCurrent: () => boolean,
  log: Log,
): Promise<void> => {
  for (let i = 0; i < REJOINS && isCurrent(); i++) {
    const answered = await gossip.ring.join(seeds).catch(() => 0)
    if (answered > 0) return log.info('joined through new seeds', { answered })
    await sleep(REJOIN_MS, undefined, { ref: false })
  }
}
