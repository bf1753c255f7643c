/**
 * Claims that are checked before they are believed: that somebody we hold for
 * gone lives after all, and that a living member has moved. A ping decides.
 */
import type { Endpoint } from '../wire/address.ts'
import type { Accusation, Alive } from '../wire/messages.ts'
import type { Env } from './env.ts'
import { type Entry, isGone } from './members.ts'

/** Claims being checked at the same time. */
const CHECKS_MOST = 256
/** A claim that was wrong is not checked again for this long. */
const AGAIN_MS = 5_000

/** A claim that is being checked, or, without one, until when its member's are not. */
type Check = { readonly until: number; claim: Alive | undefined }

export type ClaimHooks = {
  /** Pings `name` at an address, telling it what we hold against it; then says whether it answered. */
  readonly ping: (
    name: string,
    at: Endpoint,
    accusation: Accusation | undefined,
    done: (ok: boolean) => void,
  ) => void
  /** What we believe of a member now. */
  readonly held: (name: string) => Entry | undefined
  /** The claim is believed. */
  readonly accept: (claim: Alive, held: Entry | undefined) => void
  /** Another node goes by the name of one we know. */
  readonly onConflict: (known: Entry, other: Endpoint) => void
}

export class Claims {
  readonly #env: Env
  readonly #hooks: ClaimHooks
  #checks = new Map<string, Check>()

  constructor(env: Env, hooks: ClaimHooks) {
    this.#env = env
    this.#hooks = hooks
  }

  /** The member is forgotten. */
  forget(name: string): void {
    this.#checks.delete(name)
  }

  /**
   * Whether the claim is to be checked now. One that comes while an older one
   * about the same member is checked takes its place.
   */
  #begins(a: Alive): boolean {
    // meta and versions lie in a packet that will be gone by the time they are wanted
    const claim = (): Alive => ({
      ...a,
      meta: Uint8Array.from(a.meta),
      versions: Uint8Array.from(a.versions),
    })
    const had = this.#checks.get(a.node)
    if (had?.claim) {
      if (a.incarnation > had.claim.incarnation) had.claim = claim()
      return false
    }
    if (had && had.until > this.#env.now) return false
    if (!had && this.#checks.size >= CHECKS_MOST) this.#makeRoom()
    if (!had && this.#checks.size >= CHECKS_MOST) return false
    this.#checks.set(a.node, { until: 0, claim: claim() })
    return true
  }

  #makeRoom(): void {
    for (const [name, check] of this.#checks) {
      if (!check.claim && check.until <= this.#env.now) this.#checks.delete(name)
    }
  }

  /** The check is over; gives the claim it was about in the end. */
  #ends(name: string, right: boolean): Alive | undefined {
    const claim = this.#checks.get(name)?.claim
    this.#env.stats.verified++
    if (right) this.#checks.delete(name)
    else {
      this.#env.stats.verifiedWrong++
      this.#checks.set(name, { until: this.#env.now + AGAIN_MS, claim: undefined })
    }
    return claim
  }

  /** Asks whom we hold for gone. What we hold against it goes along, so that it refutes in everybody's ears. */
  check(a: Alive, had: Entry | undefined): void {
    if (!this.#begins(a)) return
    const accusation = had && {
      incarnation: had.incarnation,
      node: a.node,
      from: this.#env.name,
    }
    this.#hooks.ping(a.node, { address: a.address, port: a.port }, accusation, ok => {
      const claim = this.#ends(a.node, ok)
      const held = this.#hooks.held(a.node)
      if (!ok || !claim || (held && !isGone(held))) return
      const incarnation = Math.max(claim.incarnation, held?.incarnation ?? 0)
      this.#hooks.accept({ ...claim, incarnation }, held)
    })
  }

  /** A living member is said to have moved: believed only when nobody answers by its name where we know it. */
  checkMove(a: Alive, had: Entry): void {
    if (!this.#begins(a)) return
    const { address, port } = had.node
    this.#hooks.ping(a.node, { address, port }, undefined, stillThere => {
      const claim = this.#ends(a.node, !stillThere)
      const held = this.#hooks.held(a.node)
      if (!claim || (held && held.incarnation >= claim.incarnation)) return
      if (!stillThere) return this.#hooks.accept(claim, held)
      this.#env.stats.conflicts++
      this.#hooks.onConflict(had, { address: claim.address, port: claim.port })
    })
  }
}
