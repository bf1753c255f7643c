/**
 * The sequence of events in the demo's cluster: an endless round of small steps. Each step changes the world and
 * describes the change in a sentence, so that one can watch the names follow.
 */
import { API, BROKERS, CANARY, REDIS, REPORT, WEB, WORKER } from './apps.ts'
import type { App, World, WorldTask } from './world.ts'

const WORKERS = 6

/** Starts the initial tasks. */
export const populate = (world: World): void => {
  const many = (app: App, n: number): void => {
    for (let i = 0; i < n; i++) world.launch(app)
  }
  many(WEB, 3)
  many(API, 2)
  many(REDIS, 1)
  many(WORKER, WORKERS)
  BROKERS.forEach((broker, i) => world.launch(broker, world.agents[i % world.agents.length]))
}

const oneOf = (tasks: readonly WorldTask[], random: () => number): WorldTask | undefined =>
  tasks[Math.floor(random() * tasks.length)]

/**
 * Each `next()` does one step and returns its description. Never ends. `random` selects the tasks, so the same seed
 * gives the same sequence.
 */
export const timetable = function* (world: World, random: () => number): Generator<string, never> {
  for (;;) {
    yield* canary(world)
    const worker = world.launch(WORKER)
    yield `another worker starts on ${worker.agent.address}`
    yield* replaced(world, WEB, random)
    yield* report(world)
    yield* unhealthy(world, API, random)
    yield* moved(world, REDIS)
    const idle = oneOf(world.running(WORKER.name), random)
    if (idle && world.running(WORKER.name).length > WORKERS) {
      world.update(idle.id, 'TASK_KILLED')
      yield `a worker on ${idle.agent.address} is not needed any more`
    }
    yield* replaced(world, BROKERS[1]!, random)
  }
}

/** A new app with a VIP of its own. */
const canary = function* (world: World): Generator<string> {
  const running = world.running(CANARY.name)
  if (running.length > 0) {
    for (const task of running) world.update(task.id, 'TASK_KILLED')
    yield 'canary is withdrawn, its VIP has no backend'
  }
  const task = world.launch(CANARY)
  yield `canary appears on ${task.agent.address} with the VIP canary:80`
}

const replaced = function* (world: World, app: App, random: () => number): Generator<string> {
  const dead = oneOf(world.running(app.name), random)
  if (!dead) return
  world.update(dead.id, 'TASK_FAILED')
  yield `${app.name} fails on ${dead.agent.address}`
  const task = world.launch(app, world.roomiest(dead.agent))
  yield `${app.name} starts again on ${task.agent.address}`
}

const report = function* (world: World): Generator<string> {
  const task = world.launch(REPORT)
  yield `${REPORT.name} runs on ${task.agent.address}`
  world.update(task.id, 'TASK_FINISHED')
  yield `${REPORT.name} is done`
}

const unhealthy = function* (world: World, app: App, random: () => number): Generator<string> {
  const task = oneOf(world.running(app.name), random)
  if (!task) return
  world.update(task.id, 'TASK_RUNNING', false)
  yield `${app.name} on ${task.agent.address} fails its health check`
  world.update(task.id, 'TASK_RUNNING', true)
  yield `${app.name} on ${task.agent.address} is healthy again`
}

/** A task that is killed and started on another agent. */
const moved = function* (world: World, app: App): Generator<string> {
  const [old] = world.running(app.name)
  if (!old) return
  world.update(old.id, 'TASK_KILLING')
  yield `${app.name} on ${old.agent.address} is asked to end`
  world.update(old.id, 'TASK_KILLED')
  const task = world.launch(app, world.roomiest(old.agent))
  yield `${app.name} has moved from ${old.agent.address} to ${task.agent.address}`
}
