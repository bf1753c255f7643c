/**
 * The guarantee of the records, over many random sequences: whatever is lost, duplicated or reordered, and whoever
 * restarts with or without a disk, in the end all replicas are equal and show what the owners published.
 */
import t from 'tap'
import { createRecords, type Records } from '../../../src/gossip/records/records.ts'
import type { Kind } from '../../../src/gossip/records/types.ts'
import type { MemberEvent } from '../../../src/gossip/rider.ts'
import { seeded } from '../../../scripts/simulate/random.ts'

const SEEDS = Number(process.env.SEEDS ?? 10_000)
const kinds: readonly Kind[] = ['vip', 'zone', 'node']

type Node = {
  name: string
  records: Records
  published: Map<string, string>
  disk: Buffer | undefined
}

/** A few nodes; all their messages wait in one list until the test delivers them. */
class Lab {
  now = 0
  readonly random: () => number
  readonly nodes: Node[] = []
  heap: (() => void)[] = []

  constructor(seed: number) {
    this.random = seeded(seed)
    const count = 2 + this.pick(3)
    for (let i = 0; i < count; i++)
      this.nodes.push({
        name: `agent-${i}`,
        published: new Map(),
        disk: undefined,
      } as Partial<Node> as Node)
    for (const node of this.nodes) this.boot(node)
  }

  pick(n: number): number {
    return Math.floor(this.random() * n)
  }

  boot(node: Node): void {
    node.records = createRecords({
      self: node.name,
      now: () => this.now,
      random: this.random,
      epoch: 1 + Math.floor(this.now / 1_000),
      limits: { tombstoneMs: 3_000 },
    })
    if (node.disk) node.records.fromBytes(node.disk, this.now)
    for (const other of this.nodes)
      if (other !== node) node.records.onMember(alive(other.name), this.now)
  }

  poll(node: Node): void {
    const records = node.records
    for (const send of records.poll(this.now).sends) {
      const to = this.nodes.find(other => other.name === send.to) as Node
      if (send.via === 'packet')
        this.heap.push(() => to.records.onPacket(node.name, send.body, this.now))
      else
        this.heap.push(() => {
          const response = to.records.onStreamRequest(node.name, send.body, this.now)
          this.heap.push(() => records.onStreamResponse(to.name, send.token, response, this.now))
        })
    }
  }

  ping(a: Node, b: Node): void {
    b.records.onDigest(a.name, a.records.digest(), this.now)
    a.records.onDigest(b.name, b.records.digest(), this.now)
  }

  /** One random event; messages may be dropped, duplicated and reordered. */
  chaos(): void {
    const node = this.nodes[this.pick(this.nodes.length)] as Node
    const dice = this.pick(100)
    if (dice < 30) this.publish(node)
    else if (dice < 70 && this.heap.length > 0) {
      const i = this.pick(this.heap.length)
      const message = this.heap[i] as () => void
      if (this.random() > 0.2) {
        const last = this.heap.pop() as () => void
        if (i < this.heap.length) this.heap[i] = last
      }
      if (this.random() > 0.3) message()
    } else if (dice < 80) this.ping(node, this.nodes[this.pick(this.nodes.length)] as Node)
    else if (dice < 97) this.now += this.pick(dice < 95 ? 150 : 4_000)
    else if (dice < 98) node.disk = node.records.toBytes(this.now)
    else if (dice < 99) {
      if (this.random() < 0.5) node.disk = undefined
      node.published.clear()
      this.now += 1_000
      this.boot(node)
    }
    this.poll(node)
  }

  publish(node: Node): void {
    const kind = kinds[this.pick(3)] as Kind
    const name = `n${this.pick(6)}`
    if (this.random() < 0.35) {
      node.published.delete(`${kind} ${name}`)
      node.records.withdraw({ kind, name })
      return
    }
    const value = `${this.pick(1_000)}`.repeat(this.random() < 0.05 ? 500 : 1)
    node.published.set(`${kind} ${name}`, value)
    node.records.publish({ kind, name }, Buffer.from(value))
  }

  /** Stops losses and publications; true when all nodes agree. */
  quiet(): boolean {
    for (let round = 0; round < 600; round++) {
      this.now += 100
      for (const node of this.nodes) this.poll(node)
      for (let i = 0; this.heap.length > 0 && i < 1_000; i++) (this.heap.shift() as () => void)()
      if (round % 5 !== 0) continue
      for (const node of this.nodes)
        this.ping(node, this.nodes[this.pick(this.nodes.length)] as Node)
      // Before inherited entries are dropped, the nodes may agree on old data.
      if (round > 320 && this.agreed()) return true
      if (round > 10 && round < 310 && this.agreed()) {
        this.now += 30_000 - round * 100
        round = 315
      }
    }
    return false
  }

  agreed(): boolean {
    const [first, ...rest] = this.nodes.map(node => state(node.records))
    return rest.every(other => other === first)
  }
}

const alive = (name: string): MemberEvent => ({
  type: 'join',
  member: {
    name,
    address: '192.0.2.1',
    port: 7946,
    state: 'alive',
    incarnation: 1,
    tags: {},
    capable: true,
  },
})

/** All that a node shows, as one text. */
const state = (records: Records): string => {
  const lines: string[] = []
  for (const owner of records.owners())
    lines.push(`${owner.name} ${owner.epoch} ${owner.version} ${owner.entries}`)
  for (const kind of kinds)
    for (const e of records.entries(kind))
      lines.push(`${e.kind} ${e.name} ${e.owner} ${Buffer.from(e.value).toString('latin1', 0, 3)}`)
  return lines.sort().join('\n')
}

const run = (seed: number): string => {
  const lab = new Lab(seed)
  const steps = 20 + lab.pick(120)
  for (let i = 0; i < steps; i++) lab.chaos()
  if (!lab.quiet())
    return `seed ${seed}: not equal\n${lab.nodes.map(node => state(node.records)).join('\n--\n')}`
  const records = (lab.nodes[0] as Node).records
  for (const node of lab.nodes) {
    const shown: string[] = []
    for (const kind of kinds)
      for (const e of records.entries(kind))
        if (e.owner === node.name)
          shown.push(`${e.kind} ${e.name} ${Buffer.from(e.value).toString()}`)
    const wanted = [...node.published].map(([key, value]) => `${key} ${value}`)
    if (shown.sort().join('\n') !== wanted.sort().join('\n'))
      return `seed ${seed}: ${node.name} published\n${wanted.join('\n')}\nbut shown is\n${shown.join('\n')}`
  }
  return ''
}

t.test(
  `any order, loss and repetition, then quiet, gives equal replicas (${SEEDS} seeds)`,
  async t => {
    const first = Number(process.env.SEED ?? 1)
    let failed = 0
    for (let seed = first; seed < first + SEEDS; seed++) {
      const wrong = run(seed)
      if (wrong === '') continue
      if (++failed <= 3) t.fail(wrong.slice(0, 2_000))
    }
    t.equal(failed, 0)
  },
)
