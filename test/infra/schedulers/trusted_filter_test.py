"""The filter for Nova, run by Nova's own filter handler against a server that is here.

Started by trusted-filter.test.ts, which makes the certificates: the folder CERTIFICATES has
authority.pem, server.pem and .key, client.pem and .key, stranger.pem. With UNDER_EVENTLET
set, threads and sockets are eventlet's, as they are in nova-scheduler.
"""

import os

if os.environ.get('UNDER_EVENTLET'):
    import nova.monkey_patch  # noqa: F401

import datetime
import http.server
import json
import re
import socket
import ssl
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from unittest import mock

import eventlet
from nova import context
from nova import objects
from nova.api.validation.extra_specs import validators
from nova.scheduler import filters
from nova.scheduler import host_manager
from nova.scheduler import utils
from nova.scheduler.filters import aggregate_instance_extra_specs
from nova.scheduler.filters import compute_capabilities_filter

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../..')
sys.path.insert(0, os.path.join(ROOT, 'infra/schedulers/nova'))

import trusted_filter  # noqa: E402

CONF = trusted_filter.CONF
CERTIFICATES = os.environ['CERTIFICATES']
TRUSTED = {'trust:trusted_host': 'trusted', 'hw:cpu_policy': 'dedicated'}
LIMIT = 1.0

objects.register_all()


def file(name):
    return os.path.join(CERTIFICATES, name)


def spec(extra_specs, hints=None, **more):
    return objects.RequestSpec(
        **more,
        instance_uuid='5f0c1c5e-9f0e-4a0b-8f5d-2b7f6a1c9d10',
        project_id='6b1f0f0e8a0b4a2c9d3e',
        scheduler_hints=hints or {},
        flavor=objects.Flavor(name='m1.trusted', extra_specs=extra_specs))


def states(*nodes):
    return [host_manager.HostState('nova-' + str(node), node, 'cell') for node in nodes]


FLEET = states(*('compute-%d.example.com' % i for i in range(500)))


def trusted(name):
    return int(name.split('.')[0].split('-')[1]) % 3 != 0


class Server(http.server.ThreadingHTTPServer):
    """Demands a client certificate, keeps what it was asked, and answers as the test says."""

    daemon_threads = True

    def __init__(self, tls=True):
        super().__init__(('127.0.0.1', 0), Handler)
        self.tls = None
        if tls:
            self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=file('authority.pem'))
            self.tls.verify_mode = ssl.CERT_REQUIRED
            self.tls.load_cert_chain(file('server.pem'), file('server.key'))
        self.calls = []
        self.connections = 0
        self.answer = answer_well
        self.open = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return '%s://localhost:%d' % ('https' if self.tls else 'http', self.server_port)

    def finish_request(self, request, client_address):
        self.connections += 1
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        # Clients that leave early are the point.
        pass

    def stop(self):
        self.open.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        self.server.calls.append((self.path, self.headers, json.loads(body)))
        self.server.answer(self, json.loads(body))

    def log_message(self, *args):
        pass


def reply(handler, body, status=200):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header('content-length', str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def answer_well(handler, body):
    names = [state['nodename'] for state in body['host_states']]
    passing = [name for name in names if trusted(name)]
    group = {'reason': 'untrusted', 'message': 'Found wanting.\nReally.',
             'hosts': [name for name in names if not trusted(name)]}
    reply(handler, {'hosts': passing, 'rejected': [group], 'valid_until': '2026-11-23T16:01:00.000Z'})


class FilterTest(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.stop)
        for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE'):
            os.environ.pop(name, None)
        self.configure(endpoint=self.server.url, ca_file=file('authority.pem'), cert_file=file('client.pem'),
                       key_file=file('client.key'), region=None, timeout=5)
        self.handler = filters.HostFilterHandler()
        self.filters = [cls() for cls in self.handler.get_matching_classes(['trusted_filter.TrustedFilter'])]

    def configure(self, **options):
        for name, value in options.items():
            CONF.set_override(name, value, group='trust')
            self.addCleanup(CONF.clear_override, name, group='trust')

    def passing(self, extra_specs=TRUSTED, hosts=FLEET, hints=None, index=0, **more):
        """The nodes that Nova's own handler lets pass."""
        passed = self.handler.get_filtered_objects(self.filters, hosts, spec(extra_specs, hints, **more), index)
        return [state.nodename for state in passed]

    def assert_nobody(self, reason, **more):
        with self.assertLogs('trusted_filter', 'ERROR') as logs:
            self.assertEqual([], self.passing(**more))
        self.assertRegex('\n'.join(logs.output), reason)
        self.assertEqual(1, len(logs.output))


class WellTest(FilterTest):
    def test_runs_on_the_threads_that_were_asked_for(self):
        self.assertEqual(bool(os.environ.get('UNDER_EVENTLET')), eventlet.patcher.is_monkey_patched('thread'))

    def test_500_hosts_are_one_call_and_exactly_the_trusted_ones_pass_in_their_order(self):
        expected = [state.nodename for state in FLEET if trusted(state.nodename)]
        self.assertEqual(expected, self.passing())
        self.assertEqual(1, len(self.server.calls))
        self.assertEqual(1, self.server.connections)
        path, headers, body = self.server.calls[0]
        self.assertEqual('/filter', path)
        self.assertEqual('application/json', headers['content-type'])
        self.assertIsNone(headers['authorization'])
        self.assertEqual(500, len(body['host_states']))
        self.assertEqual({'host': 'nova-compute-7.example.com', 'nodename': 'compute-7.example.com'},
                         body['host_states'][7])
        self.assertEqual({
            'flavor': {'extra_specs': {'trust:trusted_host': 'trusted'}},
            'request_spec': {'instance_uuid': '5f0c1c5e-9f0e-4a0b-8f5d-2b7f6a1c9d10',
                             'project_id': '6b1f0f0e8a0b4a2c9d3e'},
        }, body['filter_properties'])

    def test_the_second_instance_of_a_request_is_no_second_call(self):
        self.passing()
        self.assertEqual(500, len(self.passing(index=1)))
        self.assertEqual(1, len(self.server.calls))

    def test_a_single_host_passes_by_the_same_rule(self):
        host_passes = self.filters[0].host_passes
        self.assertIs(True, host_passes(FLEET[1], spec(TRUSTED)))
        self.assertIs(False, host_passes(FLEET[3], spec(TRUSTED)))

    def test_a_flavor_that_asks_for_nothing_passes_all_with_no_call(self):
        self.configure(endpoint='http://nobody.invalid')
        for extra_specs in ({}, {'hw:cpu_policy': 'dedicated', 'os:distrust': 'trusted'}):
            self.assertEqual(500, len(self.passing(extra_specs)))
        self.assertEqual(0, self.server.connections)

    def test_a_flavor_without_extra_specs_asks_for_nothing_as_with_novas_own_filters(self):
        self.configure(endpoint='http://nobody.invalid')
        absent = spec({})
        absent.flavor = objects.Flavor(name='m1.plain')
        own = [compute_capabilities_filter.ComputeCapabilitiesFilter(),
               aggregate_instance_extra_specs.AggregateInstanceExtraSpecsFilter()]
        for filters in ([own[0]], [own[1]], self.filters):
            self.assertEqual(FLEET, self.handler.get_filtered_objects(filters, FLEET, absent))
        self.assertEqual(0, self.server.connections)

    def test_a_rebuild_passes_all_with_no_call(self):
        hints = {'_nova_check_type': ['rebuild']}
        self.assertEqual(500, len(self.passing(hints=hints)))
        self.assertEqual(500, len(self.passing(hints=hints, force_hosts=['nova-0'], force_nodes=['compute-0'])))
        self.assertEqual(0, self.server.connections)
        self.passing(hints={'_nova_check_type': ['live_migrate']})
        self.assertEqual(1, len(self.server.calls))

    def test_the_hint_of_a_rebuild_without_its_host_is_a_users_and_counts_for_nothing(self):
        hints = {'_nova_check_type': ['rebuild']}
        for forced in (None, []):
            with self.assertLogs('trusted_filter', 'WARNING'):
                passing = self.passing(hints=hints, force_hosts=forced, force_nodes=forced)
            self.assertEqual([host.nodename for host in FLEET if trusted(host.nodename)], passing)
        with self.assertNoLogs('trusted_filter', 'WARNING'):
            self.assertEqual(500, len(self.passing({}, hints=hints, force_hosts=None)))

    def test_a_request_as_novas_api_makes_it_of_that_hint_is_no_rebuild(self):
        request = objects.RequestSpec.from_components(
            context.RequestContext('user', 'project', is_admin=False), '5f0c1c5e-9f0e-4a0b-8f5d-2b7f6a1c9d10', None,
            objects.Flavor(extra_specs=TRUSTED), None, None,
            {'scheduler_hints': {'_nova_check_type': 'rebuild'}}, None, None)
        self.assertTrue(utils.request_is_rebuild(request))
        self.assertFalse(trusted_filter.is_rebuild(request))

    def test_what_looks_like_a_requirement_is_sent_as_it_is(self):
        odd = {'trust': 'Trusted', ' Trust:x': '', 'trusted_host': 'yes', 't\u00adrust': 'a', '\uff34rust': 'b'}
        self.passing({**odd, 'hw:mem_page_size': 'large'})
        self.assertEqual(odd, self.server.calls[0][2]['filter_properties']['flavor']['extra_specs'])

    def test_no_hosts_are_no_call(self):
        self.assertEqual([], self.passing(hosts=[]))
        self.assertEqual(0, self.server.connections)

    def test_a_host_without_a_name_harms_itself_only(self):
        odd = states(None, '', 'x' * 256, 'compute-\ud83d')
        self.assertEqual(['compute-1.example.com'], self.passing(hosts=odd + FLEET[:2]))
        self.assertEqual(2, len(self.server.calls[0][2]['host_states']))
        self.assertEqual([], self.passing(hosts=odd))
        self.assertEqual(1, len(self.server.calls))

    def test_says_why_hosts_do_not_pass_on_a_line_per_reason(self):
        with self.assertLogs('trusted_filter', 'INFO') as logs:
            self.passing()
        self.assertEqual([
            'INFO:trusted_filter:167 of 500 hosts do not pass, untrusted: Found wanting.\\nReally. '
            '(compute-0.example.com, compute-3.example.com, compute-6.example.com, compute-9.example.com, '
            'compute-12.example.com, …)'], logs.output)

    def test_a_path_of_the_endpoint_is_kept(self):
        self.configure(endpoint=self.server.url + '/stage/')
        self.passing()
        self.assertEqual('/stage/filter', self.server.calls[0][0])


class FaultTest(FilterTest):
    def answers(self, answer):
        self.server.answer = answer

    def test_nobody_passes_where_the_service_is_down(self):
        self.server.stop()
        self.assert_nobody('ConnectionRefusedError')

    def test_nobody_passes_where_the_answer_is_slow_within_the_time_limit(self):
        self.configure(timeout=LIMIT)
        self.answers(lambda handler, _: self.server.open.wait(10))
        self.assert_in_time('no complete answer within 1 s')

    def test_nobody_passes_where_the_answer_comes_drop_by_drop_within_the_time_limit(self):
        self.configure(timeout=LIMIT)
        self.answers(self.trickle)
        self.assert_in_time('no complete answer within 1 s')

    def trickle(self, handler, _):
        handler.wfile.write(b'HTTP/1.1 200 OK\r\n')
        for char in 'x-filler: ' + 'x' * 1_000:
            if self.server.open.wait(0.1):
                break
            handler.wfile.write(char.encode())

    def test_nobody_passes_where_the_name_is_not_resolved_within_the_time_limit(self):
        self.configure(timeout=LIMIT)
        with mock.patch('socket.getaddrinfo', lambda *args, **kwargs: self.server.open.wait(10)):
            self.assert_in_time('no complete answer within 1 s')

    def test_nobody_passes_where_nobody_shakes_hands_within_the_time_limit(self):
        silent = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(silent.close)
        self.configure(timeout=LIMIT, endpoint='https://localhost:%d' % silent.getsockname()[1])
        self.assert_in_time('no complete answer within 1 s|TimeoutError|timed? ?out')

    def assert_in_time(self, reason):
        before = time.monotonic()
        self.assert_nobody(reason)
        self.assertLess(time.monotonic() - before, LIMIT + 0.7)

    def test_a_call_that_was_given_up_leaves_no_thread(self):
        self.configure(timeout=LIMIT)
        self.answers(self.trickle)
        self.passing()
        deadline = time.monotonic() + 3
        while any(isinstance(thread, trusted_filter.Call) for thread in threading.enumerate()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_nobody_passes_with_any_other_status_and_the_log_has_its_detail(self):
        for status in (201, 204, 301, 400, 403, 413, 500, 503):
            with self.subTest(status):
                self.answers(lambda handler, _: reply(
                    handler, {'hosts': [FLEET[1].nodename], 'detail': 'said\nwhy'}, status))
                self.assert_nobody('status %d: ' % status)
        self.answers(lambda handler, _: reply(handler, {'detail': 'said\nwhy'}, 400))
        self.assert_nobody(r'status 400: said\\nwhy')
        self.answers(lambda handler, _: reply(handler, b'<html>', 502))
        self.assert_nobody('status 502: no word of why')

    def test_nobody_passes_with_an_answer_of_any_other_shape(self):
        good = FLEET[1].nodename
        for name, body, reason in (
                ('nothing', b'', 'not JSON'),
                ('garbage', b'\xff\x00<html>', 'not JSON'),
                ('cut short', b'{"hosts":["%s"]' % good.encode(), 'not JSON'),
                ('deep', b'[' * 200_000, 'not JSON'),
                ('null', None, 'no list of hosts'),
                ('a list', [good], 'no list of hosts'),
                ('no hosts', {'rejected': []}, 'no list of hosts'),
                ('hosts that are null', {'hosts': None}, 'no list of hosts'),
                ('hosts as a text', {'hosts': good}, 'no list of hosts'),
                ('hosts as a map', {'hosts': {good: True}}, 'no list of hosts'),
                ('a host that is a number', {'hosts': [good, 7]}, 'no list of hosts'),
                ('a host not asked for', {'hosts': [good, 'stranger']}, 'not asked for'),
                ('a host in another case', {'hosts': [good.upper()]}, 'not asked for'),
                ('too much', b'{"hosts":[]}' + b' ' * 9_000_000, 'too long')):
            with self.subTest(name):
                self.answers(lambda handler, _: reply(handler, body))
                self.assert_nobody(reason)

    def test_nobody_passes_where_the_connection_ends_before_the_answer_does(self):
        self.answers(lambda handler, _: None)
        self.assert_nobody('RemoteDisconnected|Connection')

        def cut(handler, _):
            name = FLEET[1].nodename.encode()
            handler.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"hosts":["%s"' % name)
        self.answers(cut)
        self.assert_nobody('not JSON|IncompleteRead')

    def test_odd_words_about_the_rejected_change_nothing(self):
        for rejected in (None, 7, [None, {'hosts': 7}, {'hosts': [None], 'reason': ['x'], 'message': {}}]):
            self.answers(lambda handler, _: reply(handler, {'hosts': [FLEET[1].nodename], 'rejected': rejected}))
            self.assertEqual([FLEET[1].nodename], self.passing())

    def test_nobody_passes_where_there_is_no_flavor(self):
        without = objects.RequestSpec(instance_uuid='5f0c1c5e-9f0e-4a0b-8f5d-2b7f6a1c9d10', scheduler_hints={})
        with self.assertLogs('trusted_filter', 'ERROR'):
            self.assertEqual([], self.handler.get_filtered_objects(self.filters, FLEET, without))


class ConfigurationTest(FilterTest):
    def test_nobody_passes_with_a_configuration_that_says_too_little(self):
        for options, reason in (
                ({'endpoint': None}, 'endpoint must be a URL'),
                ({'endpoint': 'trust.example.com'}, 'endpoint must be a URL'),
                ({'endpoint': 'https://user@localhost/'}, 'endpoint must be a URL'),
                ({'endpoint': 'https://localhost/?a=b'}, 'endpoint must be a URL'),
                ({'endpoint': 'http://trust.example.com'}, 'must begin with https'),
                ({'endpoint': 'https://localhost:x'}, 'ValueError'),
                ({'cert_file': None, 'key_file': None}, 'needs cert_file and key_file, or region'),
                ({'key_file': None}, 'needs cert_file and key_file, or region'),
                ({'cert_file': '/nowhere'}, 'FileNotFoundError'),
                ({'ca_file': '/nowhere'}, 'FileNotFoundError'),
                ({'region': 'eu-central-1'}, 'there are no AWS credentials')):
            with self.subTest(options), mock.patch.dict(os.environ, AWS_SHARED_CREDENTIALS_FILE='/nowhere'):
                self.setUp()
                self.configure(**options)
                self.assert_nobody(reason)
                self.assertEqual(0, self.server.connections)

    def test_nobody_passes_where_the_server_is_vouched_for_by_nobody(self):
        self.configure(ca_file=file('stranger.pem'))
        self.assert_nobody('SSLCertVerificationError')
        self.configure(ca_file=None)
        self.assert_nobody('SSLCertVerificationError')

    def test_nobody_passes_where_the_server_has_another_name(self):
        self.configure(endpoint=self.server.url.replace('localhost', '127.0.0.1'))
        self.assert_nobody('SSLCertVerificationError')

    def test_nobody_passes_without_a_client_certificate_that_the_server_wants(self):
        self.configure(cert_file=None, key_file=None, region='eu-central-1')
        with mock.patch.dict(os.environ, AWS_ACCESS_KEY_ID='AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY='test'):
            self.assert_nobody('SSL|Remote|Connection')

    def test_loopback_needs_no_tls(self):
        server = Server(tls=False)
        self.addCleanup(server.stop)
        self.configure(endpoint=server.url, cert_file=None, key_file=None)
        self.assertEqual(333, len(self.passing()))


class DocumentationTest(unittest.TestCase):
    def test_nova_finds_the_filter_with_the_nova_conf_of_docs_openstack(self):
        with open(os.path.join(ROOT, 'docs/openstack.md')) as text:
            block = re.search(r'```ini\n(.*?\[trust\].*?)```', text.read(), re.DOTALL).group(1)
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as conf:
            conf.write(textwrap.dedent(block))
            conf.flush()
            CONF(['--config-file', conf.name], project='nova', default_config_files=[])
        self.addCleanup(CONF.reset)
        found = filters.HostFilterHandler().get_matching_classes(CONF.filter_scheduler.available_filters)
        names = {cls.__name__ for cls in found}
        self.assertLessEqual(set(CONF.filter_scheduler.enabled_filters), names)
        self.assertIn('TrustedFilter', CONF.filter_scheduler.enabled_filters)
        self.assertEqual('eu-central-1', CONF.trust.region)
        self.assertEqual(30, CONF.trust.timeout)
        connection, url = trusted_filter.connect(CONF.trust)
        self.assertEqual('a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com', connection.host)

    def test_the_api_of_nova_takes_the_keys_that_ask_for_trust(self):
        for key in ('trust:trusted_host', 'trust', 'trusted_host', 'Trust:trusted_host'):
            validators.validate(key, 'trusted')


EXAMPLE = ('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY')


class SignatureTest(FilterTest):
    """Against the vectors of AWS's test suite, and signatures that botocore 1.43.11 made."""

    def signed(self, *args, token=None):
        return trusted_filter.signature(*args[:4], (*EXAMPLE, token), *args[4:])['authorization']

    def test_signs_as_the_suite_of_aws_does(self):
        now = datetime.datetime(2015, 8, 30, 12, 36)
        for method, expected in (
                ('GET', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'),
                ('POST', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b')):
            self.assertEqual(
                'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, '
                'SignedHeaders=host;x-amz-date, Signature=' + expected,
                self.signed(method, '/', {'host': 'example.amazonaws.com'}, b'', 'us-east-1', 'service', now))

    def test_signs_as_botocore_does(self):
        now = datetime.datetime(2026, 11, 23, 16)
        body = b'{"a":"\xc3\xa4"}'
        api = 'a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com'
        other = 'trust.example.com:8443'
        for host, path, token, expected in (
                (api, '/filter', None, '9334eb65ccb42d3d9972325b71b8bc44ed48286935e915b30d9a16d77b472e6d'),
                (api, '/filter', 'the/token+of=session',
                 '4dd092fe200ef37446e1c5bd717141c237961a4f7060fb6d26f792aed863d4f4'),
                (other, '/a%20stage/filter', None,
                 'd1f7291155218eaf29c6b477bbdfbd822c0019d4845a7e6228ed26cc4b73bbeb'),
                (other, '/a%20stage/filter', 'the/token+of=session',
                 '539857eaa57c3d75e40450fdc0dec26ef34849ae1a2778a839cac18e56905a57')):
            headers = {'host': host, 'content-type': 'application/json'}
            signed = self.signed('POST', path, headers, body, 'eu-central-1', 'execute-api', now, token=token)
            self.assertTrue(signed.endswith(', Signature=' + expected), signed)

    def sent(self):
        self.configure(region='eu-central-1')
        self.assertEqual(333, len(self.passing()))
        return self.server.calls[-1][1]

    def test_signs_with_the_credentials_of_the_environment_what_it_sends(self):
        with mock.patch.dict(os.environ, AWS_ACCESS_KEY_ID=EXAMPLE[0], AWS_SECRET_ACCESS_KEY=EXAMPLE[1],
                             AWS_SESSION_TOKEN='token'):
            sent = self.sent()
        self.assertEqual('token', sent['x-amz-security-token'])
        self.assertEqual(1, len(sent.get_all('host')))
        now = datetime.datetime.strptime(sent['x-amz-date'], '%Y%m%dT%H%M%SZ')
        self.assertLess(abs((datetime.datetime.utcnow() - now).total_seconds()), 60)
        body = trusted_filter.request_body({'trust:trusted_host': 'trusted'}, FLEET, spec(TRUSTED))
        headers = {'host': sent['host'], 'content-type': sent['content-type']}
        self.assertEqual(sent['authorization'], self.signed(
            'POST', '/filter', headers, body, 'eu-central-1', 'execute-api', now, token='token'))

    def test_signs_with_the_credentials_of_the_shared_file_read_anew_each_time(self):
        with tempfile.NamedTemporaryFile('w') as shared, mock.patch.dict(
                os.environ, AWS_SHARED_CREDENTIALS_FILE=shared.name):
            shared.write('[default]\naws_access_key_id = AKIDFIRST\naws_secret_access_key = a%b/c+\n')
            shared.flush()
            self.assertIn('Credential=AKIDFIRST/', self.sent()['authorization'])
            shared.write('[nova]\naws_access_key_id=AKIDNOVA\naws_secret_access_key=x\naws_session_token=y\n')
            shared.flush()
            os.environ['AWS_PROFILE'] = 'nova'
            sent = self.sent()
        self.assertIn('Credential=AKIDNOVA/', sent['authorization'])
        self.assertEqual('y', sent['x-amz-security-token'])

    def test_shows_nothing_of_credentials_that_can_not_be_used(self):
        self.configure(region='eu-central-1')
        for text in ('aws_secret_access_key = hidden\n', '[default]\nhidden\nhidden hidden\n', '\0hidden'):
            with tempfile.NamedTemporaryFile('w') as shared, mock.patch.dict(
                    os.environ, AWS_SHARED_CREDENTIALS_FILE=shared.name):
                shared.write(text)
                shared.flush()
                self.assert_silent()
        with mock.patch.dict(os.environ, AWS_ACCESS_KEY_ID=EXAMPLE[0], AWS_SECRET_ACCESS_KEY='x',
                             AWS_SESSION_TOKEN='hid\nden'):
            self.assert_silent()

    def test_says_where_credentials_can_not_be_read(self):
        self.configure(region='eu-central-1')
        with tempfile.TemporaryDirectory() as folder:
            with mock.patch.dict(os.environ, AWS_SHARED_CREDENTIALS_FILE=folder):
                self.assert_nobody("%s can't be read" % folder)
            with mock.patch.dict(os.environ, AWS_SHARED_CREDENTIALS_FILE=folder + '/none'):
                self.assert_nobody('there are no AWS credentials')

    def assert_silent(self):
        with self.assertLogs(level='DEBUG') as logs:
            self.assertEqual([], self.passing())
        self.assertNotRegex('\n'.join(logs.output), 'hid')
        self.assertRegex('\n'.join(logs.output), "No host passes: .*credentials|can't be read")


if __name__ == '__main__':
    unittest.main()
