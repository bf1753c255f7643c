/**
 * What is due when: a binary heap of plain objects that carry their own time.
 * Cancelling is forgetting (`due` is set to Infinity and the entry falls out
 * when it comes up), because most races are over long before their timers.
 */

export interface Timed {
  /** Milliseconds on the data thread's clock; Infinity: not wanted any more. */
  due: number
  /** Called once when due; may schedule itself again. */
  fire(now: number): void
}

export class Timers {
  readonly #heap: { at: number; item: Timed }[] = []

  get size(): number {
    return this.#heap.length
  }

  /** Fires `item` at `at` unless its `due` says otherwise by then. */
  schedule(item: Timed, at: number): void {
    item.due = at
    const heap = this.#heap
    let i = heap.length
    const node = { at, item }
    heap.push(node)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (heap[parent]!.at <= at) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = node
  }

  /** Fires all that is due; milliseconds until the next, Infinity for none. */
  run(now: number): number {
    const heap = this.#heap
    while (heap.length > 0 && heap[0]!.at <= now) {
      const { at, item } = this.#pop()
      if (item.due !== at) continue
      item.due = Infinity
      item.fire(now)
    }
    return heap.length > 0 ? heap[0]!.at - now : Infinity
  }

  #pop(): { at: number; item: Timed } {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    const n = heap.length
    if (n === 0) return top
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= n) break
      if (child + 1 < n && heap[child + 1]!.at < heap[child]!.at) child++
      if (heap[child]!.at >= last.at) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return top
  }
}
