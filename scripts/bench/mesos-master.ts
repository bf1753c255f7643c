/** A Mesos master that streams what it is told to. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { records } from '../../test/fixture/mesos.ts'

const HEARTBEAT_MS = 10_000

export class MesosMaster {
  readonly #server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      if (!body.includes('SUBSCRIBE')) return void response.end('{}')
      response.writeHead(200)
      response.write(this.#first)
      this.#stream = response
    })
  })
  readonly #first: string | Buffer
  #stream: ServerResponse | undefined
  #heartbeat: NodeJS.Timeout | undefined

  /** @param first the first record of each stream */
  constructor(first: string | Buffer) {
    this.#first = first
  }

  /** Returns the port. */
  async listen(address = '127.0.0.1'): Promise<number> {
    this.#heartbeat = setInterval(() => this.send(records({ type: 'HEARTBEAT' })), HEARTBEAT_MS)
    this.#server.listen(0, address)
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  send(text: string | Buffer): void {
    this.#stream?.write(text)
  }

  close(): void {
    clearInterval(this.#heartbeat)
    this.#stream?.destroy()
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
