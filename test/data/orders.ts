/** The data thread works through the main thread's messages: when it says that a restore has begun and ended. */
import t from 'tap'
import type { Up } from '../../src/boundary/messages.ts'
import { Orders, type OrdersContext } from '../../src/data/orders.ts'
import { Plane, snapshotOf } from '../fixture/bench-plane.ts'

const ordersOf = async (more: Partial<OrdersContext> = {}) => {
  const p = await Plane.create(snapshotOf())
  const told: string[] = []
  const orders = new Orders({
    cache: p.cache,
    clamps: { serveStale: 60 },
    now: () => 0,
    originOf: () => undefined,
    zones: p.zones,
    validity: p.validity,
    labels: () => [],
    post: (message: Up) => told.push(message.type),
    atOnce: () => {},
    restoring: { begin: () => told.push('begin'), end: () => told.push('end') },
    ...more,
  })
  const finish = (): void => {
    while (orders.pending) orders.work()
  }
  return { orders, told, finish }
}

t.test('a restore begins when its message comes, and ends after what came before it', async t => {
  const { orders, told, finish } = await ordersOf()
  orders.add({ type: 'dump', id: 1 })
  orders.add({ type: 'restore', id: 2, bytes: new Uint8Array() })
  t.strictSame(told, ['begin'], 'nothing has been worked on yet')
  finish()
  t.strictSame(told, ['begin', 'dumped', 'restored', 'end'])
})

t.test('a restore that throws ends, too', async t => {
  const post = (): never => {
    throw new Error('a bug')
  }
  const { orders, told, finish } = await ordersOf({ post })
  orders.add({ type: 'restore', id: 1, bytes: new Uint8Array() })
  t.throws(finish, { message: 'a bug' })
  t.strictSame(told, ['begin', 'end'])
  t.notOk(orders.pending, 'and is dropped')
})
