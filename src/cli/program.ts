/**
 * Defines the command line and turns errors into exit statuses: 0 done, 1 failed, 2 wrong usage or configuration.
 */
import { Command, CommanderError } from 'commander'
import { printable } from '../base/printable.ts'
import { asksJson, complain, complainOfUsage } from './complain.ts'
import { addDaemons } from './daemons.ts'
import { DONE, type Io } from './io.ts'
import { examples } from './options.ts'
import type { Threads } from '../daemon/threads.ts'
import { version } from '../base/version.ts'

export type ProgramOptions = {
  readonly threads?: Threads | undefined
  /** The first word of the command line. After `run`, a starting daemon does not load code of other commands. */
  readonly called?: string | undefined
}

/** The command line; `ended` gets the exit status of commands that set one. */
export const createProgram = async (
  io: Io,
  ended: (status: number) => void,
  { threads, called }: ProgramOptions = {},
): Promise<Command> => {
  const program = new Command('spartan')
    .description('A caching DNS forwarder for every agent of a DC/OS or Mesos cluster.')
    .version(version(), '-V, --version')
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .configureHelp({ showGlobalOptions: false })
    .exitOverride()
    .showHelpAfterError('(--help shows what can be said)')
    .addHelpText(
      'after',
      `${examples('spartan demo', 'spartan check --config /etc/spartan/spartan.yaml', 'spartan query leader.mesos --trace', 'spartan status')}
Exit status: 0 done, 1 failed, 2 wrong usage or configuration.
`,
    )
  addDaemons(program, ended, threads)
  if (called !== 'run') await addRest(program, io, ended)
  return program
}

const addRest = async (
  program: Command,
  io: Io,
  ended: (status: number) => void,
): Promise<void> => {
  const [
    { addBalance },
    { addCheck },
    { addReload },
    { addQuery },
    { addLooks },
    { addLog },
    { addTop },
    { addDrill },
    { addKeys },
    { addResolvconf },
    { addVersion },
    { addCompletion },
  ] = await Promise.all([
    import('./balance.ts'),
    import('./check.ts'),
    import('./reload.ts'),
    import('./query.ts'),
    import('./look.ts'),
    import('./log.ts'),
    import('./top.ts'),
    import('./drill.ts'),
    import('./keys.ts'),
    import('./resolvconf/command.ts'),
    import('./version.ts'),
    import('./completion.ts'),
  ])
  addBalance(program, ended)
  addCheck(program, io, ended)
  addReload(program, io, ended)
  addQuery(program, io, ended)
  addLooks(program, io)
  addLog(program, io)
  addTop(program, io)
  addDrill(program, io)
  addKeys(program, io, ended)
  addResolvconf(program, io, ended)
  addVersion(program, io)
  addCompletion(program, io)
}

/** Runs one command line (without interpreter and script). Never throws; resolves to the exit status. */
export const runCli = async (
  args: readonly string[],
  io: Io,
  threads?: Threads,
): Promise<number> => {
  let status = DONE
  // Messages repeat what was said on the command line, in files and by servers.
  const values = args.flatMap(arg => [arg, arg.slice(arg.indexOf('=') + 1)])
  const err = (text: string): void => io.err(printable(text, values))
  // Not copied, because reading `interrupted` has an effect.
  const safe = Object.create(io, { err: { value: err } }) as Io
  const json = asksJson(args)
  try {
    const options = { threads, called: args[0] }
    const program = await createProgram(safe, code => (status = code), options)
    await program.parseAsync(args, { from: 'user' })
    return status
  } catch (er) {
    if (er instanceof CommanderError) return complainOfUsage(safe, er, json)
    return complain(safe, er, json)
  }
}
