/** Sends a question to the upstreams of its route, by the route's policy. */
import type { Route } from '../answer/router.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { RCODE } from '../../wire/codes.ts'
import { askingOrder } from './head-start.ts'
import { Race } from './race.ts'
import type { RaceContext, RaceOwner, Watch } from './race-context.ts'

/**
 * Asks the upstreams of a forward route. If every upstream is dead, it calls the owner before it returns, and
 * returns undefined. Otherwise returns the race, which can be cancelled.
 */
export const launch = (
  question: Buffer,
  route: Route,
  context: RaceContext,
  owner: RaceOwner,
  watch?: Watch,
): Race | undefined => {
  const { spec, upstreams } = route
  if (spec.kind !== 'forward') throw new Error('not a forward route')
  const { policy } = spec
  const asked =
    policy === 'hedge' && upstreams.length > 1
      ? askingOrder(upstreams, context.now())
      : upstreams.some(isDead)
        ? upstreams.filter(isAlive)
        : upstreams
  watch?.(policy, asked.map(u => u.name).join(' '))
  if (asked.length === 0) {
    // Upstreams are still probed; until one answers, a client need not wait for the deadline.
    owner.finish({ kind: 'failed', why: 'dead', rcode: RCODE.SERVFAIL, upstream: undefined })
    return undefined
  }
  const maybeSigned = spec.ttl === 'external'
  const whole = asked === upstreams && watch === undefined && upstreams.every(isUdp)
  const options = whole
    ? (route.raceOptions ??= { policy, maybeSigned, peers: upstreams.map(context.peerOf) })
    : { policy, maybeSigned, watch }
  const race = new Race(question, asked, context, owner, options)
  race.start()
  return race
}

const isDead = (upstream: Upstream): boolean => upstream.dead
const isAlive = (upstream: Upstream): boolean => !upstream.dead
const isUdp = ({ spec }: Upstream): boolean => spec.protocol === 'udp'
