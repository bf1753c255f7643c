/**
 * Intents to join or leave, ordered by Lamport time. An intent for an unknown member is kept for a while, because
 * packets can be reordered. An older intent never undoes a newer one.
 */
import type { LamportTime } from '../wire/serf.ts'

/** How long intents for unknown members are kept (Serf's RecentIntentTimeout), and how many. */
const KEEP_MS = 300_000
const WAITING_MOST = 8192

type Waiting = { readonly leave: boolean; readonly ltime: LamportTime; readonly at: number }

export class Intents {
  /** Lamport time of the last intent for each member; 0 if absent. */
  #times = new Map<string, LamportTime>()
  #leaving = new Set<string>()
  #waiting = new Map<string, Waiting>()

  /** The time of a member's last intent, 0 if there was none. */
  timeOf(name: string): LamportTime {
    return this.#times.get(name) ?? 0
  }

  /** Whether the member's last intent was to leave. */
  isLeaving(name: string): boolean {
    return this.#leaving.has(name)
  }

  /** Applies an intent for a known member; false if it is outdated. @param leave true to leave, false to join */
  take(name: string, leave: boolean, ltime: LamportTime): boolean {
    if (ltime <= this.timeOf(name)) return false
    this.#times.set(name, ltime)
    if (leave) this.#leaving.add(name)
    else this.#leaving.delete(name)
    return true
  }

  /** Sets the member's last intent to leave, regardless of times. */
  leave(name: string): void {
    this.#leaving.add(name)
  }

  /** Stores an intent for an unknown member; false if it is outdated. */
  keep(name: string, leave: boolean, ltime: LamportTime, now: number): boolean {
    const had = this.#waiting.get(name)
    if (had && ltime <= had.ltime) return false
    if (!had && this.#waiting.size >= WAITING_MOST && !this.#makeRoom(now)) return false
    this.#waiting.set(name, { leave, ltime, at: now })
    return true
  }

  #makeRoom(now: number): boolean {
    for (const [name, intent] of this.#waiting) {
      if (now - intent.at <= KEEP_MS) break
      this.#waiting.delete(name)
    }
    return this.#waiting.size < WAITING_MOST
  }

  /** The member joined: stored intents for it are applied now, and an earlier intent to leave is dropped. */
  joined(name: string): void {
    this.#leaving.delete(name)
    const had = this.#waiting.get(name)
    this.#waiting.delete(name)
    if (had) this.take(name, had.leave, had.ltime)
  }

  /** The member was forgotten. */
  reaped(name: string): void {
    this.#times.delete(name)
    this.#leaving.delete(name)
  }
}
