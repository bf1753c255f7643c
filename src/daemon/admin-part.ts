/** The admin server as a part: its TCP address and its Unix socket. Each is retried while it is in use. */
import { showEndpoint, type Config } from '../config/config.ts'
import { fail, messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import type { Part } from '../control/part.ts'
import type { Route } from '../http/route.ts'
import { AdminGuard } from '../ops/admin-guard.ts'
import { ownNames } from '../ops/own-names.ts'
import { AdminServer, isLoopback, type AdminAddress } from '../ops/admin.ts'

export type AdminPartOptions = {
  readonly log: Log
  readonly node: string
  /** All admin routes. Called once, when the server is first needed. */
  readonly routes: () => readonly Route[]
}

export class AdminPart implements Part {
  readonly name = 'admin'
  readonly #options: AdminPartOptions
  #server: AdminServer | undefined
  readonly #open = new Set<string>()

  constructor(options: AdminPartOptions) {
    this.#options = options
  }

  wanted({ admin }: Config): boolean {
    return admin.listen !== undefined || admin.socket !== ''
  }

  /** Opens what is not open yet. Rejects with what cannot be opened; what is open keeps serving. */
  async start({ admin }: Config): Promise<void> {
    const { log, node, routes } = this.#options
    const names = [node, ...ownNames(), ...admin.hostNames]
    this.#server ??= new AdminServer({ log, names, routes: routes() })
    const problems: string[] = []
    for (const where of placesOf(admin)) {
      const key = 'path' in where ? where.path : showEndpoint(where)
      if (this.#open.has(key)) continue
      try {
        const guard = 'path' in where ? undefined : new AdminGuard(admin, log)
        if (!('path' in where) && !isLoopback(where.address) && admin.token === '')
          log.warn('the admin server can be read from other hosts', { address: where.address })
        const at = await this.#server.listen(where, guard)
        this.#open.add(key)
        log.info(
          'admin',
          'path' in at ? { socket: at.path } : { address: at.address, port: at.port },
        )
      } catch (er) {
        problems.push(messageOf(er))
      }
    }
    if (problems.length > 0) throw fail(problems.join('; '), 'EBIND')
  }

  async close(): Promise<void> {
    this.#open.clear()
    const server = this.#server
    this.#server = undefined
    await server?.close()
  }
}

const placesOf = ({ listen, socket }: Config['admin']): AdminAddress[] => [
  ...(listen ? [listen] : []),
  ...(socket === '' ? [] : [{ path: socket }]),
]
