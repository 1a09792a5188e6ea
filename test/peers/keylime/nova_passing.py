"""Prints, as JSON, the nodes that Nova's own filter handler lets pass with the filter of infra/schedulers/nova/.

Started by product.test.ts: the first argument is JSON with the options of [trust] in nova.conf,
and `nodes`, the names of those to choose from.
"""

import json
import os
import sys

from nova import objects
from nova.scheduler import filters
from nova.scheduler import host_manager

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../..')
sys.path.insert(0, os.path.join(ROOT, 'infra/schedulers/nova'))

import trusted_filter  # noqa: E402

objects.register_all()

options = json.loads(sys.argv[1])
nodes = options.pop('nodes')
for name, value in options.items():
    trusted_filter.CONF.set_override(name, value, group='trust')

handler = filters.HostFilterHandler()
chosen = [cls() for cls in handler.get_matching_classes(['trusted_filter.TrustedFilter'])]
spec = objects.RequestSpec(
    instance_uuid='5f0c1c5e-9f0e-4a0b-8f5d-2b7f6a1c9d10',
    project_id='6b1f0f0e8a0b4a2c9d3e',
    scheduler_hints={},
    flavor=objects.Flavor(name='m1.trusted', extra_specs={'trust:trusted_host': 'trusted'}))
states = [host_manager.HostState('nova-' + node, node, 'cell') for node in nodes]
print(json.dumps([state.nodename for state in handler.get_filtered_objects(chosen, states, spec)]))
