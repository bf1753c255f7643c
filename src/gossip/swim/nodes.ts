/**
 * What nodes say of themselves, each kept once: a name, where it is, its
 * tags and the protocol versions it speaks.
 */
import { readTags } from '../serf/tags.ts'
import { bufferOf } from '../wire/msgpack.ts'
import { META_MOST } from '../wire/types.ts'

/** What a node says of itself. */
export type Node = {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly meta: Uint8Array
  readonly versions: Uint8Array
  readonly tags: Readonly<Record<string, string>>
  /** Whether its tags announce that it speaks our records. */
  readonly capable: boolean
  /** A hash of its name, for the table's digest. */
  readonly hash: number
}

/** The tag, and its value, by which a member says that it speaks our records. */
export const CAPABILITY = { tag: 'sp', value: '1' } as const

const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && Buffer.compare(a, b) === 0

/** FNV-1a over the name's code units. */
const nameHash = (name: string): number => {
  let hash = 0x811c_9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193)
  return hash
}

/** Tags, and the metadata they were read from: most members of a ring have the same. */
type Words = Pick<Node, 'meta' | 'tags' | 'capable'>
/** Different metadata, or versions, kept to be shared. */
const SHARED_MOST = 1024

/**
 * A node's own words, copied out of the packet they came in; the same object
 * for the same words, so that a member costs some 250 octets and not a
 * thousand.
 */
export class Nodes {
  #byName = new Map<string, Node>()
  #words = new Map<string, Words>()
  #versions = new Map<string, Uint8Array>()
  readonly #most: number

  /** @param most names remembered; beyond it nothing is shared */
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

  /** The name is of no member any more. */
  forget(name: string): void {
    this.#byName.delete(name)
  }
}

const wordsOf = (bytes: Uint8Array): Words => {
  const meta = Uint8Array.from(bytes.subarray(0, META_MOST))
  const tags = readTags(meta)
  return { meta, tags, capable: tags[CAPABILITY.tag] === CAPABILITY.value }
}

/** What was made of these octets before, or is now. */
const shared = <T>(known: Map<string, T>, bytes: Uint8Array, make: (bytes: Uint8Array) => T): T => {
  const key = bufferOf(bytes).toString('latin1')
  const had = known.get(key)
  if (had) return had
  if (known.size >= SHARED_MOST) known.clear()
  const made = make(bytes)
  known.set(key, made)
  return made
}
