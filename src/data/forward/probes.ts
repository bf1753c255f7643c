/**
 * Sends small questions of our own to upstreams that may be silent, over their own protocol. So silent upstreams are
 * detected, and recovered ones are noticed although no client's question is sent to them.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Route } from '../answer/router.ts'
import { nameWire } from '../../wire/name.ts'
import { TYPE } from '../../wire/codes.ts'
import { plainQuery } from '../../wire/question.ts'
import { Race } from './race.ts'
import type { RaceContext, RaceOwner, RaceRules } from './race-context.ts'

/** Every working master has `leader.mesos`; every resolver has the root's NS set. */
const QUESTIONS = {
  cluster: plainQuery(nameWire('leader.mesos')!, TYPE.A),
  external: plainQuery(Buffer.of(0), TYPE.NS),
}
/** One datagram, or one connection with its handshakes; the next probe is the retry. */
const RULES: RaceRules = { grace: 0, deadline: 1_000, retransmit: [] }
/** Only the effect of a probe on its upstream's state matters. */
const NOBODY: RaceOwner = { finish: () => {}, late: () => {} }

/** Starts the probes that are due; true if there were any. Call it a few times a second. */
export const probe = (
  routes: readonly Route[],
  context: RaceContext,
  now: Milliseconds,
): boolean => {
  let any = false
  for (const { spec, upstreams } of routes) {
    if (spec.kind !== 'forward') continue
    for (const upstream of upstreams) {
      if (!upstream.liveness.takeProbe(now)) continue
      any = true
      context.counts.add(upstream.slot, 'probes')
      const question = Buffer.from(QUESTIONS[spec.ttl])
      const options = { policy: 'hedge', maybeSigned: false, rules: RULES } as const
      new Race(question, [upstream], context, NOBODY, options).start()
    }
  }
  return any
}
