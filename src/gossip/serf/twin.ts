/**
 * Another node with our name. Like a Serf, we ask all members at which address they know the name, and the node that
 * most of them know stays. A tie goes to the lower address, so that exactly one of the two stays.
 *
 * A restarted node may meet its old process, which is still shutting down. So it steps back only when it loses twice.
 */
import type { Endpoint } from '../wire/address.ts'
import { readMember } from '../wire/serf.ts'
import type { Env } from '../swim/env.ts'
import type { Answer } from './queries.ts'

/** Pause between the two votes. */
const AGAIN_MS = 10_000

/** Whether the members keep the node at `other`, by their answers to Serf's conflict query. */
export const isOutvoted = (
  answers: readonly Answer[],
  ours: Endpoint,
  other: Endpoint,
): boolean => {
  let lead = 0
  for (const { payload } of answers) {
    const held = readMember(payload)
    if (!held) continue
    if (held.address === ours.address && held.port === ours.port) lead++
    else if (held.address === other.address && held.port === other.port) lead--
  }
  if (lead !== 0) return lead < 0
  const text = ({ address, port }: Endpoint): string => `${address} ${port}`
  return text(other) < text(ours)
}

export type TwinHooks = {
  /** Starts Serf's conflict query about our name; false if it cannot be sent. */
  readonly ask: (done: (answers: Answer[]) => void) => boolean
  /** Whether a node answers by our name at this address. */
  readonly verify: (other: Endpoint, done: (there: boolean) => void) => void
  /** Our own address. */
  readonly ours: () => Endpoint
  /** Called when the ring keeps the other node. */
  readonly onOutvoted: (other: Endpoint) => void
}

export class Twin {
  readonly #env: Env
  readonly #hooks: TwinHooks
  /** Whether a vote is under way, or the second one is due. */
  #busy = false

  constructor(env: Env, hooks: TwinHooks) {
    this.#env = env
    this.#hooks = hooks
  }

  /** A node at another address has just answered by our name. */
  met(other: Endpoint): void {
    if (this.#busy) return
    this.#vote(other, () =>
      this.#env.timers.at(this.#env.now + AGAIN_MS, () =>
        this.#hooks.verify(other, there => {
          if (there) this.#vote(other, () => this.#lost(other))
          else this.#busy = false
        }),
      ),
    )
  }

  #lost(other: Endpoint): void {
    this.#busy = false
    this.#hooks.onOutvoted(other)
  }

  #vote(other: Endpoint, lost: () => void): void {
    this.#busy = this.#hooks.ask(answers => {
      if (isOutvoted(answers, this.#hooks.ours(), other)) lost()
      else this.#busy = false
    })
  }
}
