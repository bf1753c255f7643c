/**
 * `spartan query`: sends one question and prints the answer. By default it is an ordinary client over UDP or TCP;
 * with --trace the running daemon answers the question itself and reports each step.
 */
import type { Command } from 'commander'
import type { Endpoint, TraceStep } from '../boundary/messages.ts'
import { ipFamily, reverseName } from '../base/ip.ts'
import { showEndpoint } from '../config/address.ts'
import { fail } from '../base/error.ts'
import { CLASS, typeName, typeNumber } from '../wire/codes.ts'
import { ask, queryWire } from './dns-client.ts'
import { readMessage, showMessage, type Message } from './dns-text.ts'
import { DONE, FAILED, type Io } from './io.ts'
import {
  configOf,
  daemon,
  examples,
  number,
  server,
  time,
  withDaemon,
  type DaemonOptions,
} from './options.ts'
import { cell, rowsOf, table } from './table.ts'

type Options = DaemonOptions & {
  readonly trace?: boolean
  readonly server?: Endpoint
  readonly tcp?: boolean
  readonly dnssec?: boolean
  readonly cd?: boolean
  readonly recurse: boolean
  readonly edns: boolean
  readonly short?: boolean
  readonly timeout: number
  readonly attempts: number
  readonly class: string
}

/** The first of the three addresses that agents use by convention. */
const USUAL: Endpoint = { address: '198.51.100.1', port: 53 }

/** Adds the command to the program. `ended` gets the exit status. */
export const addQuery = (program: Command, io: Io, ended: (status: number) => void): void => {
  withDaemon(program.command('query'))
    .description('ask for a name, as a client would; with --trace, see how it is decided')
    .argument('<name>', 'a name, or an address to find the name of')
    .argument(
      '[type]',
      'record type such as A, AAAA, SRV, ANY or TYPE65 (default: A; PTR for an address)',
    )
    .option('-t, --trace', 'let the running daemon answer, and print each step with its time')
    .option(
      '-s, --server <address>',
      "ask this server (default: the configuration's first address, or 198.51.100.1)",
      server,
    )
    .option('--tcp', 'ask over TCP')
    .option('--dnssec', 'set DO: ask for signatures')
    .option('--cd', 'set CD: ask for data that does not validate, too')
    .option('--no-recurse', 'clear RD: ask only for what the server has itself')
    .option('--no-edns', 'send no OPT record')
    .option('--class <class>', 'IN or CH', 'IN')
    .option('--short', 'print only the data of the answers')
    .option('--timeout <time>', 'wait so long for each attempt', time, 2000)
    .option('--attempts <number>', 'ask so many times over UDP', number(1, 100), 3)
    .addHelpText(
      'after',
      `${examples('spartan query leader.mesos', 'spartan query _web._tcp.marathon.mesos SRV --server 198.51.100.2', 'spartan query 198.51.100.1', 'spartan query leader.mesos --trace')}
Exit status is 0 if the answer is NOERROR or NXDOMAIN, 1 for any other and for silence.
`,
    )
    .action(async (name: string, type: string | undefined, options: Options) =>
      ended(await query(io, name, type, options)),
    )
}

const query = async (
  io: Io,
  asked: string,
  type: string | undefined,
  options: Options,
): Promise<number> => {
  const reverse = ipFamily(asked) !== 0 && type === undefined
  const name = reverse ? reverseName(asked) : asked
  const qtype = typeNumber(type ?? (reverse ? 'PTR' : 'A'))
  if (qtype === undefined)
    throw fail(
      `'${type}' is no record type: write A, AAAA, SRV or a number such as TYPE65`,
      'EUSAGE',
    )
  const qclass = { IN: CLASS.IN, CH: CLASS.CH }[options.class.toUpperCase()]
  if (qclass === undefined) throw fail(`'${options.class}' is not IN or CH`, 'EUSAGE')
  const wire = queryWire(name, {
    qtype,
    qclass,
    recurse: options.recurse,
    dnssec: options.dnssec ?? false,
    checkingDisabled: options.cd ?? false,
    edns: options.edns,
  })
  if (!wire)
    throw fail(
      `'${cell(asked)}' is no name: labels have 1 to 63 octets, names at most 255`,
      'EUSAGE',
    )
  if (options.trace) return trace(io, name, typeName(qtype), options)

  const to = options.server ?? (await configOf(options))?.listen.addresses[0] ?? USUAL
  const reply = await ask(wire, {
    server: to,
    timeout: options.timeout,
    attempts: options.attempts,
    tcp: options.tcp ?? false,
    signal: io.interrupted,
  })
  if ('silence' in reply) throw fail(`${showEndpoint(to)}: ${reply.silence}`, 'ESTATE')
  const message = readMessage(reply.wire)
  const ms = Math.round(reply.ms * 100) / 100
  const footer = `;; ${showEndpoint(to)} over ${reply.transport.toUpperCase()}, ${ms} ms, ${message.bytes} bytes${reply.attempts > 1 ? `, attempt ${reply.attempts}` : ''}\n`
  show(io, options, message, footer, { server: showEndpoint(to), transport: reply.transport, ms })
  return verdict(message)
}

/** NXDOMAIN counts as an answer; SERVFAIL, REFUSED and others do not. */
const verdict = ({ rcode, malformed }: Message): number =>
  !malformed && (rcode === 'NOERROR' || rcode === 'NXDOMAIN') ? DONE : FAILED

const show = (
  io: Io,
  { json, short }: Options,
  message: Message,
  footer: string,
  facts: object,
): void => {
  if (json) io.out(`${JSON.stringify({ ...message, ...facts }, null, 2)}\n`)
  else if (short) io.out(message.answer.map(({ data }) => `${data}\n`).join(''))
  else io.out(`${showMessage(message)}\n${footer}`)
}

const trace = async (io: Io, name: string, type: string, options: Options): Promise<number> => {
  const { json } = await daemon(options, {
    method: 'POST',
    path: '/v1/trace',
    body: { name, type },
  })
  const steps = rowsOf(json, 'steps', 'trace') as unknown as TraceStep[]
  const wire = (json as { wire?: unknown } | undefined)?.wire
  if (typeof wire !== 'string') throw fail('the daemon gave no answer to the traced query', 'EHTTP')
  const message = readMessage(Buffer.from(wire, 'base64'))
  if (!options.json && !options.short) {
    io.out(
      `${table(steps, [
        ['MS', row => Number(row['atMs']).toFixed(3)],
        ['STEP', row => row['step']],
        ['DETAIL', row => row['detail']],
      ])}\n`,
    )
  }
  show(io, options, message, `;; answered by the daemon itself, ${message.bytes} bytes\n`, {
    steps,
  })
  return verdict(message)
}
