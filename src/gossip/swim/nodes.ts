/** What nodes say about themselves, stored once per node: name, address, tags and protocol versions. */
import { readTags } from '../serf/tags.ts'
import { bufferOf } from '../wire/msgpack.ts'
import { META_MOST } from '../wire/types.ts'

/** What a node says about itself. */
export type Node = {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly meta: Uint8Array
  readonly versions: Uint8Array
  readonly tags: Readonly<Record<string, string>>
  /** Whether its tags announce that it understands our records. */
  readonly capable: boolean
  /** A hash of its name, for the table's digest. */
  readonly hash: number
}

/** The tag, and its value, which announces that a member understands our records. */
export const CAPABILITY = { tag: 'sp', value: '1' } as const

const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && Buffer.compare(a, b) === 0

/** FNV-1a over the name's code units. */
const nameHash = (name: string): number => {
  let hash = 0x811c_9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193)
  return hash
}

/** Tags and the metadata they were parsed from. Most members of a ring share the same ones. */
type Words = Pick<Node, 'meta' | 'tags' | 'capable'>
/** Limit of different metadata, or versions, that are kept for sharing. */
const SHARED_MOST = 1024

/**
 * Copies a node's description out of the packet. Equal descriptions share one object, so that a member costs about
 * 250 octets instead of a thousand.
 */
export class Nodes {
  #byName = new Map<string, Node>()
  #words = new Map<string, Words>()
  #versions = new Map<string, Uint8Array>()
  readonly #most: number

  /** @param most limit of remembered names; further ones are not shared */
  constructor(most = 32_768) {
    this.#most = most
  }

  of(said: {
    node: string
    address: string
    port: number
    meta: Uint8Array
    versions: Uint8Array
  }): Node {
    const had = this.#byName.get(said.node)
    if (
      had &&
      had.address === said.address &&
      had.port === said.port &&
      same(had.meta, said.meta) &&
      same(had.versions, said.versions)
    )
      return had
    const words = shared(this.#words, said.meta, wordsOf)
    const node: Node = {
      name: had?.name ?? said.node,
      address: said.address,
      port: said.port,
      meta: words.meta,
      versions: shared(this.#versions, said.versions, bytes => Uint8Array.from(bytes)),
      tags: words.tags,
      capable: words.capable,
      hash: had?.hash ?? nameHash(said.node),
    }
    if (had || this.#byName.size < this.#most) this.#byName.set(said.node, node)
    return node
  }

  /** To be called when no member has this name any more. */
  forget(name: string): void {
    this.#byName.delete(name)
  }
}

const wordsOf = (bytes: Uint8Array): Words => {
  const meta = Uint8Array.from(bytes.subarray(0, META_MOST))
  const tags = readTags(meta)
  return { meta, tags, capable: tags[CAPABILITY.tag] === CAPABILITY.value }
}

/** The cached value for these octets; created on first use. */
const shared = <T>(known: Map<string, T>, bytes: Uint8Array, make: (bytes: Uint8Array) => T): T => {
  const key = bufferOf(bytes).toString('latin1')
  const had = known.get(key)
  if (had) return had
  if (known.size >= SHARED_MOST) known.clear()
  const created = make(bytes)
  known.set(key, created)
  return created
}
