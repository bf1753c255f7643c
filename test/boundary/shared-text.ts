/** Text in shared memory for another thread. */
import t from 'tap'
import { Worker } from 'node:worker_threads'
import { once } from 'node:events'
import { SharedTextWriter, unpack, type SharedText } from '../../src/boundary/shared-text.ts'

const read = (text: SharedText): string => unpack(text, Buffer.alloc).toString()

t.test('memory that was read is used again', async t => {
  const writer = new SharedTextWriter()
  const first = writer.write('n1.example.org')
  t.equal(read(first), 'n1.example.org')
  const second = writer.write('bücher.example.org')
  t.equal(second.memory, first.memory)
  t.equal(read(second), 'bücher.example.org')
})

t.test('what nobody has read yet is left alone', async t => {
  const writer = new SharedTextWriter()
  const first = writer.write('first')
  const second = writer.write('second')
  const third = writer.write('third')
  t.equal(read(second), 'second')
  t.equal(read(first), 'first')
  t.equal(read(third), 'third')
  t.equal(writer.write('fourth').memory, third.memory)
})

t.test('a text that is longer than the memory takes more', async t => {
  const writer = new SharedTextWriter()
  read(writer.write(''))
  for (const length of [1, 65_532, 65_533, 200_000, 10]) {
    const text = 'x'.repeat(length)
    t.ok(read(writer.write(text)) === text, `${length} octets`)
  }
})

t.test('another thread reads it, and gives the memory back', async t => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
    parentPort.once('message', async ({ url, text }) => {
      const { unpack } = await import(url)
      parentPort.postMessage(unpack(text, n => Buffer.alloc(n)).toString())
    })`,
    { eval: true, execArgv: process.execArgv },
  )
  const writer = new SharedTextWriter()
  const text = writer.write('over there')
  worker.postMessage({
    url: new URL('../../dist/boundary/shared-text.js', import.meta.url).href,
    text,
  })
  const [copied] = (await once(worker, 'message')) as [string]
  t.equal(copied, 'over there')
  t.equal(writer.write('again').memory, text.memory)
  await once(worker, 'exit')
})
