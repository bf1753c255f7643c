/**
 * Who said, and when by the Lamport clock, that a member joins or leaves.
 * An intent outlives the packet order: one that comes before its member is
 * kept for a while, and an older one never undoes a newer.
 */
import type { LamportTime } from '../wire/serf.ts'

/** Intents for members not known yet are kept this long, and at most so many (Serf's RecentIntentTimeout). */
const KEEP_MS = 300_000
const WAITING_MOST = 8192

type Waiting = { readonly leave: boolean; readonly ltime: LamportTime; readonly at: number }

export class Intents {
  /** Lamport time of the last intent about each member; absent is 0. */
  #times = new Map<string, LamportTime>()
  #leaving = new Set<string>()
  #waiting = new Map<string, Waiting>()

  /** The time of a member's last intent, 0 if there was none. */
  timeOf(name: string): LamportTime {
    return this.#times.get(name) ?? 0
  }

  /** Whether the member said last that it leaves. */
  isLeaving(name: string): boolean {
    return this.#leaving.has(name)
  }

  /**
   * An intent about a member we have; false if it is old news.
   * @param leave join or leave
   */
  take(name: string, leave: boolean, ltime: LamportTime): boolean {
    if (ltime <= this.timeOf(name)) return false
    this.#times.set(name, ltime)
    if (leave) this.#leaving.add(name)
    else this.#leaving.delete(name)
    return true
  }

  /** The member's last intent was to leave, whatever we took it for. */
  leave(name: string): void {
    this.#leaving.add(name)
  }

  /** An intent about somebody we do not know yet; false if it is old news. */
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

  /** The member came: what was said of it before counts now; that it was leaving once does not. */
  joined(name: string): void {
    this.#leaving.delete(name)
    const had = this.#waiting.get(name)
    this.#waiting.delete(name)
    if (had) this.take(name, had.leave, had.ltime)
  }

  /** The member is forgotten. */
  reaped(name: string): void {
    this.#times.delete(name)
    this.#leaving.delete(name)
  }
}
