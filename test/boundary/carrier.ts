/** Text that goes to another thread in shared memory. */
import t from 'tap'
import { Worker } from 'node:worker_threads'
import { once } from 'node:events'
import { Carrier, unpack, type Parcel } from '../../src/boundary/carrier.ts'

const read = (parcel: Parcel): string => unpack(parcel, Buffer.alloc).toString()

t.test('memory that was read is used again', async t => {
  const carrier = new Carrier()
  const first = carrier.pack('n1.example.org')
  t.equal(read(first), 'n1.example.org')
  const second = carrier.pack('bücher.example.org')
  t.equal(second.memory, first.memory)
  t.equal(read(second), 'bücher.example.org')
})

t.test('what nobody has read yet is left alone', async t => {
  const carrier = new Carrier()
  const first = carrier.pack('first')
  const second = carrier.pack('second')
  const third = carrier.pack('third')
  t.equal(read(second), 'second')
  t.equal(read(first), 'first')
  t.equal(read(third), 'third')
  t.equal(carrier.pack('fourth').memory, third.memory)
})

t.test('a text that is longer than the memory takes more', async t => {
  const carrier = new Carrier()
  read(carrier.pack(''))
  for (const length of [1, 65_532, 65_533, 200_000, 10]) {
    const text = 'x'.repeat(length)
    t.ok(read(carrier.pack(text)) === text, `${length} octets`)
  }
})

t.test('another thread reads it, and gives the memory back', async t => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
    parentPort.once('message', async ({ url, parcel }) => {
      const { unpack } = await import(url)
      parentPort.postMessage(unpack(parcel, n => Buffer.alloc(n)).toString())
    })`,
    { eval: true, execArgv: process.execArgv },
  )
  const carrier = new Carrier()
  const parcel = carrier.pack('over there')
  worker.postMessage({
    url: new URL('../../dist/boundary/carrier.js', import.meta.url).href,
    parcel,
  })
  const [text] = (await once(worker, 'message')) as [string]
  t.equal(text, 'over there')
  t.equal(carrier.pack('again').memory, parcel.memory)
  await once(worker, 'exit')
})
