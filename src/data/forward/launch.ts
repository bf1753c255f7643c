/** Sends a question to the upstreams of its route: who is asked, and by which policy. */
import type { Route } from '../answer/router.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { RCODE } from '../../wire/codes.ts'
import { Records, scan } from '../../wire/scan.ts'
import { hedge } from './hedge.ts'
import { Race, type Outcome, type RaceMeans, type RaceOwner, type Watch } from './race.ts'

const records = new Records()

/**
 * Asks the upstreams of a forward route. The owner is called once, before this
 * returns when every upstream is dead. The race that was begun, to be
 * cancelled when nobody waits any more; undefined when there is none.
 */
export const launch = (
  question: Buffer,
  route: Route,
  context: RaceMeans,
  owner: RaceOwner,
  watch?: Watch,
): Race | undefined => {
  const { spec, upstreams } = route
  if (spec.kind !== 'forward') throw new Error('not a forward route')
  if (spec.policy === 'race') {
    const dead = upstreams.some(u => u.dead)
    const lanes = dead ? lanesOf(upstreams, context.now()) : upstreams
    const voters = dead ? Math.max(1, lanes.filter(u => !u.dead).length) : upstreams.length
    watch?.('race', lanes.map(u => u.name).join(' '))
    if (lanes.length === 0) {
      owner.finish({ kind: 'failed', why: 'silence', rcode: RCODE.SERVFAIL, upstream: undefined })
      return undefined
    }
    const peers = dead ? undefined : (route.peers ??= upstreams.map(context.peerOf))
    const race = new Race(question, lanes, voters, context, owner, watch, peers)
    race.start()
    return race
  }
  watch?.('hedge', upstreams.map(u => u.name).join(' '))
  if (upstreams.length === 1 && upstreams[0]!.spec.protocol === 'udp') {
    const peers = (route.peers ??= upstreams.map(context.peerOf))
    const race = new Race(question, upstreams, 1, context, owner, watch, peers)
    race.start()
    return race
  }
  void hedge(question, upstreams, context, watch).then(outcome => owner.finish(scanned(outcome)))
  return undefined
}

/** Who is asked in a race: the living, and of the dead those whose probe is due, last. */
const lanesOf = (upstreams: readonly Upstream[], now: number): readonly Upstream[] => [
  ...upstreams.filter(u => !u.dead),
  ...upstreams.filter(u => u.dead && u.takeProbe(now)),
]

/** An outcome that has waited, its records read again. */
const scanned = (outcome: Outcome): Outcome => {
  if (outcome.kind === 'failed') return outcome
  const { upstream, wire } = outcome
  return scan(wire, wire.length, records)
    ? { ...outcome, records }
    : { kind: 'failed', why: 'soft', rcode: RCODE.SERVFAIL, upstream }
}
