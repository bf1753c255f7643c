/**
 * The backends of the balancer's bench, in one process: it accepts on every address of its namespace, and sends the
 * port of the listener, so that a client knows which backend it reached.
 */
import { createServer } from 'node:net'
import { PORTS } from './place.ts'

for (const port of PORTS) {
  createServer(socket => {
    socket.on('error', () => {}) // clients reset their connections
    socket.end(String(port))
  }).listen({ host: '0.0.0.0', port, backlog: 4_096 }, () => {
    if (port === PORTS.at(-1)) process.send?.('ready')
  })
}
