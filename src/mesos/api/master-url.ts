/** The URL of the Mesos master in the configuration. */
import { hostPort } from '../../base/ip.ts'

/** The standard port of a Mesos master. */
const PORT = 5050

/**
 * The base URL of `mesos.master`. `local` is the master of this host, at the
 * address that other hosts reach it by: that is what a master is told to bind
 * (`--ip`), and then it is not at 127.0.0.1. `own` is that address, '' if this
 * host has none; `scheme` is that of `local`.
 */
export const masterUrl = (said: string, own: string, scheme: 'http' | 'https'): string =>
  said === 'local' ? `${scheme}://${hostPort(own || '127.0.0.1', PORT)}` : said.replace(/\/+$/, '')
