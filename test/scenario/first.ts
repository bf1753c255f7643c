import { A } from '../fixture/rr.ts'
import { ask, asked, resume, silence, story, upstream, wait } from '../fixture/story.ts'

const web = A('web.mesos. 2 192.0.2.1')
story('a cached name outlives the masters', [
  upstream('mesos', web),
  ask('web.mesos').gets(web),
  asked('mesos', 1),
  silence('mesos'),
  wait('2500ms'),
  ask('web.mesos').gets(A('web.mesos. 30 192.0.2.1')),
  resume('mesos'),
])
