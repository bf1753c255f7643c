/** Samples the names queried most often lately, one query in EVERY, which is cheap enough for the hot path. */
import { nameText } from '../../wire/name.ts'

/** One query in this many is noted. */
const EVERY = 64
const SAMPLES = 2048

export type TopName = { readonly name: string; readonly type: number; readonly count: number }

export class Sampler {
  readonly #samples: string[] = []
  #next = 0
  #countdown = EVERY

  /** To be called for each query; the name is at b[nameAt]. */
  see(b: Uint8Array, nameAt: number, qtype: number): void {
    if (--this.#countdown > 0) return
    this.#countdown = EVERY
    this.#samples[this.#next] = `${nameText(b, nameAt).toLowerCase()} ${qtype}`
    this.#next = (this.#next + 1) % SAMPLES
  }

  /** Most frequent first; counts are estimates. */
  top(limit: number): TopName[] {
    const counts = new Map<string, number>()
    for (const sample of this.#samples) counts.set(sample, (counts.get(sample) ?? 0) + EVERY)
    return [...counts]
      .sort((a, b) => b[1] - a[1])
      .slice(0, limit)
      .map(([key, count]) => {
        const space = key.lastIndexOf(' ')
        return { name: key.slice(0, space), type: Number(key.slice(space + 1)), count }
      })
  }
}
