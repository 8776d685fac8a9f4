"""Two programs that verify DKIM signatures and share no code with ours: dkimpy, and Mail::DKIM for Perl.

Both query a real DNS server for the key.
"""

import asyncio
import shutil
import subprocess

import dkim
import dns.nameserver
import dns.resolver

from tests.support.mail.dns_server import DnsServer

PERL = r"""
use strict; use warnings;
use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use Net::DNS;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(
    nameservers => ['127.0.0.1'], port => $ARGV[0], recurse => 1, udp_timeout => 5, retry => 1));
my $dkim = Mail::DKIM::Verifier->new();
binmode STDIN;
while (my $chunk = <STDIN>) { $dkim->PRINT($chunk); }
$dkim->CLOSE;
print $dkim->result_detail, "\n";
"""


async def verify(content: bytes, zone: DnsServer) -> tuple[bool, str]:
    """Return the result of dkimpy, and that of Mail::DKIM, which is `pass` for a valid signature."""
    by_dkimpy, by_perl = await asyncio.gather(
        asyncio.to_thread(_verify_with_dkimpy, content, zone.port),
        asyncio.to_thread(_verify_with_perl, content, zone.port),
    )
    return by_dkimpy, by_perl


def _verify_with_dkimpy(content: bytes, port: int) -> bool:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [dns.nameserver.Do53Nameserver("127.0.0.1", port)]

    def find_key(name: bytes, timeout: int = 5) -> bytes:
        answer = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        return b"".join(answer[0].strings)

    return bool(dkim.verify(content, dnsfunc=find_key))


def _verify_with_perl(content: bytes, port: int) -> str:
    if shutil.which("perl") is None:
        raise FileNotFoundError("these tests need Perl and Mail::DKIM: apt-get install libmail-dkim-perl")
    done = subprocess.run(
        ["perl", "-e", PERL, str(port)], input=content, capture_output=True, timeout=30, check=False
    )
    assert not done.returncode, done.stderr.decode()
    return done.stdout.decode().strip()
