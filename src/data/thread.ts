/** Where the data thread begins: a data plane on one end of a message port. */
import { parentPort } from 'node:worker_threads'
import type { Begin, DataThreadStart, Down, Up } from '../boundary/messages.ts'
import type { Http } from '../http/client.ts'
import { DataPlane, type DataPlaneContext } from './plane.ts'
import { fail } from '../base/error.ts'
import { goFirst } from './priority.ts'

const DNS_MESSAGE = 'application/dns-message'

const port = parentPort
if (!port) throw fail('the data thread is started by the daemon', 'EUSAGE')

/** Loaded when the first upstream speaks HTTPS: undici takes 8 MB of this thread. */
let http: Promise<Http> | undefined
const context: DataPlaneContext = {
  post: (message: Up, transfer = []) => {
    port.postMessage(message, transfer)
    if (message.type === 'drained') {
      void http?.then(h => h.close())
      port.close()
    }
  },
  overHttps: async (url, question, signal) => {
    http ??= import('../http/client.ts').then(({ Http }) => new Http())
    const response = await (
      await http
    ).exchange(url, {
      method: 'POST',
      body: question,
      headers: { 'content-type': DNS_MESSAGE, accept: DNS_MESSAGE },
      maxBytes: 65_535,
      signal,
    })
    if (response.status !== 200) throw fail(`${url} answered ${response.status}`, 'EHTTP')
    // Absent or no number: it comes from the resolver itself.
    const age = Number.parseInt(response.headers['age'] ?? '', 10)
    return { body: response.body, age: age > 0 ? age : 0 }
  },
}

let plane: DataPlane | undefined
/** What was said while the plane was being made. */
const early: Down[] = []

const begin = async (start: DataThreadStart): Promise<void> => {
  plane = await DataPlane.create(start, context)
  for (const message of early.splice(0)) plane.handle(message)
  goFirst()
}

// The code above is loaded while the main thread still reads what to begin with.
port.on('message', (message: Begin | Down) => {
  if (message.type === 'begin') void begin(message.start)
  else if (plane) plane.handle(message)
  else early.push(message)
})
