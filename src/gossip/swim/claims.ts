/**
 * Verifies claims before they are believed, by a ping: that a member we consider gone is alive, or that a living
 * member has moved.
 */
import type { Endpoint } from '../wire/address.ts'
import type { Accusation, Alive } from '../wire/messages.ts'
import type { Env } from './env.ts'
import { type Entry, isGone } from './members.ts'

/** Limit of claims that are checked at the same time. */
const CHECKS_MOST = 256
/** After a wrong claim about a member, further claims about it are ignored for this time. */
const AGAIN_MS = 5_000

/** A claim that is being checked. Without a claim: the time until which claims about this member are ignored. */
type Check = { readonly until: number; claim: Alive | undefined }

export type ClaimHooks = {
  /** Pings `name` at an address and includes the accusation we hold against it; then reports whether it answered. */
  readonly ping: (
    name: string,
    at: Endpoint,
    accusation: Accusation | undefined,
    done: (ok: boolean) => void,
  ) => void
  /** Our current entry for a member. */
  readonly held: (name: string) => Entry | undefined
  /** Called when a claim turned out to be true. */
  readonly accept: (claim: Alive, held: Entry | undefined) => void
  /** Called when another node uses the name of a member we know, or our own. */
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

  /** Called when the member is forgotten. */
  forget(name: string): void {
    this.#checks.delete(name)
  }

  /**
   * Whether to check the claim now. If an older claim about the same member is being checked, the new one replaces
   * it.
   */
  #begins(a: Alive): boolean {
    // the packet's buffer is reused, so meta and versions must be copied
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

  /** Ends a check; returns the last claim it was about. */
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

  /**
   * Pings a member that we consider gone. The ping includes our accusation, so that the member refutes it to the
   * whole ring.
   */
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

  /** Checks a claim that our own name is at another address: an old one of ours, or another node with our name. */
  checkTwin(a: Alive, self: Entry): void {
    if (!this.#begins(a)) return
    const at = { address: a.address, port: a.port }
    this.#hooks.ping(a.node, at, undefined, there => {
      // Also if it is there, the next check waits: such claims come with every packet.
      this.#ends(a.node, false)
      if (!there) return
      this.#env.stats.conflicts++
      this.#hooks.onConflict(self, at)
    })
  }

  /**
   * Checks a claim that a living member has moved. It is believed only if no node answers by this name at the known
   * address.
   */
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
