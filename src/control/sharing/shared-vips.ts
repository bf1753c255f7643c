/**
 * The VIPs that all nodes have in the gossip, each decoded once: a change
 * costs the decoding of what changed, not of everything there is.
 */
import type { Entry, Key } from '../../gossip/records/types.ts'
import { decodeVip } from './shared-codec.ts'
import type { VipRecord } from '../../vip/record.ts'
import type { OwnerVips } from '../../vip/table.ts'

/** The records of the gossip, as far as they are read here. */
export interface SharedVipRecords {
  entries(kind: Key['kind']): Iterable<Entry>
  lookup(key: Key): readonly Entry[]
}

type Said = { readonly owner: string; readonly vip: VipRecord }

export class SharedVips {
  readonly #records: SharedVipRecords
  /** What is said under each key that has anything to say. */
  readonly #said = new Map<string, readonly Said[]>()
  /** Keys that changed and were not looked up since. */
  readonly #changed = new Set<string>()

  constructor(records: SharedVipRecords) {
    this.#records = records
  }

  /** The key shows something else now; it is looked up when `owners` is asked. */
  changed(name: string): void {
    this.#changed.add(name)
  }

  /** Every key is to be looked up anew. */
  allChanged(): void {
    for (const name of this.#said.keys()) this.#changed.add(name)
    for (const { name } of this.#records.entries('vip')) this.#changed.add(name)
  }

  /** What every node says, by owner. */
  owners(): OwnerVips[] {
    for (const name of this.#changed) this.#lookUp(name)
    this.#changed.clear()
    const byOwner = new Map<string, VipRecord[]>()
    for (const all of this.#said.values()) {
      for (const { owner, vip } of all) {
        const of = byOwner.get(owner)
        if (of) of.push(vip)
        else byOwner.set(owner, [vip])
      }
    }
    return Array.from(byOwner, ([owner, records]) => ({ owner, records }))
  }

  #lookUp(name: string): void {
    const said = this.#records.lookup({ kind: 'vip', name }).flatMap(({ owner, value }) => {
      const vip = decodeVip(value)
      return vip ? [{ owner, vip }] : []
    })
    if (said.length > 0) this.#said.set(name, said)
    else this.#said.delete(name)
  }
}
