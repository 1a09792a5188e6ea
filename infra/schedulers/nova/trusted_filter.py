# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Filter that passes the hosts that have the integrity a flavor asks for.

Asks the trusted-filter service, once per request with all hosts, where the
flavor asks for trust (``trust:trusted_host`` = ``trusted`` | ``untrusted``).
Whatever goes wrong, no host passes. Installation: docs/openstack.md.
"""

import configparser
import datetime
import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
import threading
import urllib.parse

from oslo_log import log as logging

from oslo_config import cfg

import nova.conf
from nova.scheduler import filters
from nova.scheduler import utils

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF

GROUP = 'trust'
CONF.register_opts([
    cfg.StrOpt('endpoint', help="""
URL of the trusted-filter service, to which ``/filter`` is added: https, or
http on the loopback interface."""),
    cfg.StrOpt('ca_file', help="""
Authorities (PEM) that vouch for the service; unset, those of the system."""),
    cfg.StrOpt('cert_file', help="""
Client certificate (PEM, with its chain) to present to the service."""),
    cfg.StrOpt('key_file', help='Key of the client certificate (PEM).'),
    cfg.StrOpt('region', help="""
AWS region of the service; set, requests are signed (SigV4) with the
credentials in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN,
or in the shared credentials file."""),
    cfg.FloatOpt('timeout', default=30, min=0.1, help="""
Seconds that a call may take in all. The service answers within 25."""),
], group=GROUP)

LOOPBACK = ('localhost', '127.0.0.1', '::1')
# Lambda answers with no more than 6 MB.
LARGEST_ANSWER = 8 * 1024 * 1024
NAMES_IN_LOG = 5


class Fault(Exception):
    """Why no host passes, in words that are fit for the log."""


class TrustedFilter(filters.BaseHostFilter):
    """Passes the hosts that the trusted-filter service passes."""

    # The trust of hosts does not change within a request.
    run_filter_once_per_request = True

    RUN_ON_REBUILD = False

    def filter_all(self, filter_obj_list, spec_obj):
        return self._passing(list(filter_obj_list), spec_obj)

    def host_passes(self, host_state, spec_obj):
        return bool(self._passing([host_state], spec_obj))

    def _passing(self, hosts, spec_obj):
        try:
            # The rule of BaseHostFilter._filter_one, for all hosts at once.
            if not self.RUN_ON_REBUILD and is_rebuild(spec_obj):
                return hosts
            requirement = required_trust(spec_obj.flavor)
            if not requirement:
                return hosts
            if utils.request_is_rebuild(spec_obj):
                LOG.warning('The hint of a rebuild counts for nothing: '
                            'no host is forced')
            # The service refuses a request for one name that is none.
            named = [host for host in hosts if is_name(host.nodename)]
            if len(named) < len(hosts):
                LOG.warning('%d of %d hosts do not pass: they have no name',
                            len(hosts) - len(named), len(hosts))
            if not named:
                return []
            answer = ask(CONF[GROUP],
                         request_body(requirement, named, spec_obj))
            names = passing_names(answer, {host.nodename for host in named})
            log_rejected(answer, len(named))
            return [host for host in named if host.nodename in names]
        except Fault as fault:
            LOG.error('No host passes: %s', fault)
        except Exception as error:
            LOG.error('No host passes: %s: %s',
                      type(error).__name__, printable(str(error)))
        return []


def is_rebuild(spec_obj):
    """Whether Nova rebuilds an instance, on the host where it is.

    What marks a rebuild is a hint that any user may give to any request:
    Nova's own comes with the host.
    """
    return utils.request_is_rebuild(spec_obj) and (
        'force_hosts' not in spec_obj or bool(spec_obj.force_hosts))


def required_trust(flavor):
    """What in the flavor's extra specs looks like a requirement, as it is.

    Whether it is one, and which, the service decides. A flavor that has no
    extra specs asks for nothing, as with Nova's own filters.
    """
    if 'extra_specs' not in flavor:
        return {}
    return {key: value for key, value in (flavor.extra_specs or {}).items()
            if looks_like_trust(key)}


def looks_like_trust(key):
    # Nova lets none but ASCII into keys; what gets there all the same may
    # look like anything.
    if not key.isascii():
        return True
    seen = ''.join(char for char in key if '!' <= char <= '~')
    return seen.lower().startswith('trust')


def is_name(name):
    """Whether it is a string of 1 to 255 UTF-16 units, as the service asks."""
    try:
        return 0 < len(name.encode('utf-16-le')) <= 2 * 255
    except (AttributeError, UnicodeEncodeError):
        return False


def request_body(requirement, hosts, spec_obj):
    workload = {field: getattr(spec_obj, field)
                for field in ('instance_uuid', 'project_id')
                if field in spec_obj}
    return json.dumps({
        'filter_properties': {
            'flavor': {'extra_specs': requirement},
            'request_spec': workload,
        },
        'host_states': [{'host': host.host, 'nodename': host.nodename}
                        for host in hosts],
    }).encode('ascii')


def ask(conf, body):
    """The JSON of the service's answer, all within the time limit."""
    call = Call(conf, body)
    call.start()
    if not call.done.wait(conf.timeout):
        call.abandon()
        raise Fault('no complete answer within %g s' % conf.timeout)
    if call.error is not None:
        raise call.error
    if call.status != 200:
        raise Fault('status %d: %s' % (call.status, detail_of(call.answer)))
    try:
        return json.loads(call.answer)
    except (ValueError, RecursionError):
        raise Fault('the answer is not JSON') from None


class Call(threading.Thread):
    """One request, in a thread of its own (a green one in nova-scheduler).

    Time limits of sockets start anew with every byte, and the resolver knows
    none: only who waits from outside can stop waiting.
    """

    def __init__(self, conf, body):
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.error = self.status = self.answer = None
        self._connection, url = connect(conf)
        self._path = url.path.rstrip('/') + '/filter'
        self._headers = {'host': url.netloc,
                         'content-type': 'application/json'}
        if conf.region:
            self._headers.update(signature(
                'POST', self._path, self._headers, body, credentials(),
                conf.region, 'execute-api',
                datetime.datetime.now(datetime.timezone.utc)))
        self._body = body

    def run(self):
        try:
            self._connection.request(
                'POST', self._path, self._body, self._headers)
            response = self._connection.getresponse()
            self.answer = response.read(LARGEST_ANSWER + 1)
            self.status = response.status
            if len(self.answer) > LARGEST_ANSWER:
                raise Fault('the answer is too long')
        except Exception as error:
            self.error = error
        finally:
            self.done.set()
            self._connection.close()

    def abandon(self):
        """Ends the connection, and with it the thread."""
        try:
            self._connection.sock.shutdown(2)
        except (AttributeError, OSError):
            # There is none yet, or none any more.
            pass


def connect(conf):
    """A connection that is not open yet, and the endpoint's URL."""
    url = urllib.parse.urlsplit(conf.endpoint or '')
    if not url.hostname or url.username or url.query or url.fragment:
        raise Fault('[trust] endpoint must be a URL of host and path')
    if url.scheme == 'http' and url.hostname in LOOPBACK:
        return http.client.HTTPConnection(
            url.hostname, url.port, timeout=conf.timeout), url
    if url.scheme != 'https':
        raise Fault('[trust] endpoint must begin with https://')
    if not conf.region and not (conf.cert_file and conf.key_file):
        raise Fault('[trust] needs cert_file and key_file, or region')
    context = ssl.create_default_context(cafile=conf.ca_file or None)
    if conf.cert_file:
        # A key with a passphrase is refused, rather than one asked for.
        context.load_cert_chain(
            conf.cert_file, conf.key_file or None, lambda: '')
    return http.client.HTTPSConnection(
        url.hostname, url.port, timeout=conf.timeout, context=context), url


def credentials():
    """Key id, secret key and session token (or None), read anew each time."""
    found = [os.environ.get(name) for name in (
        'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN')]
    if not (found[0] and found[1]):
        path = os.path.expanduser(os.environ.get(
            'AWS_SHARED_CREDENTIALS_FILE') or '~/.aws/credentials')
        profile = os.environ.get('AWS_PROFILE') or 'default'
        parser = configparser.RawConfigParser()
        try:
            with open(path, encoding='utf-8') as file:
                parser.read_file(file)
        except FileNotFoundError:
            # Then there are none in it.
            pass
        except (OSError, ValueError, configparser.Error):
            # Their words would show what is in the file.
            raise Fault('%s can\'t be read' % path) from None
        found = [parser.get(profile, name, fallback=None) for name in (
            'aws_access_key_id', 'aws_secret_access_key',
            'aws_session_token')]
        if not (found[0] and found[1]):
            raise Fault('there are no AWS credentials, neither in the '
                        'environment nor under [%s] of %s' % (profile, path))
    if not all(re.fullmatch('[!-~]+', value) for value in found if value):
        raise Fault('the AWS credentials have odd characters')
    return found[0], found[1], found[2] or None


def signature(method, path, headers, body, keys, region, service, now):
    """The headers that sign a request as AWS's Signature Version 4 says.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    key_id, secret, token = keys
    time = now.strftime('%Y%m%dT%H%M%SZ')
    added = {'x-amz-date': time}
    if token:
        added['x-amz-security-token'] = token
    signed = sorted({**headers, **added}.items())
    names = ';'.join(name for name, _ in signed)
    request = '\n'.join([
        method, urllib.parse.quote(path, safe='/~'), '',
        *('%s:%s' % (name, value.strip()) for name, value in signed), '',
        names, hashlib.sha256(body).hexdigest()])
    scope = [time[:8], region, service, 'aws4_request']
    text = '\n'.join(['AWS4-HMAC-SHA256', time, '/'.join(scope),
                      hashlib.sha256(request.encode()).hexdigest()])
    key = ('AWS4' + secret).encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), 'sha256')
    added['authorization'] = (
        'AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s' % (
            key_id, '/'.join(scope), names,
            hmac.digest(key, text.encode(), 'sha256').hex()))
    return added


def passing_names(answer, asked):
    names = answer.get('hosts') if isinstance(answer, dict) else None
    if not isinstance(names, list) or not all(
            isinstance(name, str) for name in names):
        raise Fault('the answer has no list of hosts')
    if not asked.issuperset(names):
        raise Fault('the answer has hosts that were not asked for')
    return set(names)


def log_rejected(answer, asked):
    """Says why hosts do not pass: a line per reason."""
    rejected = answer.get('rejected')
    for group in rejected if isinstance(rejected, list) else ():
        names = group.get('hosts') if isinstance(group, dict) else None
        if not isinstance(names, list):
            continue
        some = ', '.join(printable(name) for name in names[:NAMES_IN_LOG])
        LOG.info('%(count)d of %(all)d hosts do not pass, %(reason)s: '
                 '%(message)s (%(some)s%(more)s)',
                 {'count': len(names), 'all': asked,
                  'reason': printable(group.get('reason')),
                  'message': printable(group.get('message')),
                  'some': some,
                  'more': ', …' if len(names) > NAMES_IN_LOG else ''})


def detail_of(answer):
    """What a problem (RFC 9457) says of itself."""
    try:
        return printable(json.loads(answer)['detail'])
    except Exception:
        return 'no word of why'


def printable(value):
    """Fit for the log: short, and on one line."""
    text = str(value)[:300]
    return ''.join(char if char.isprintable() else ascii(char)[1:-1]
                   for char in text)
