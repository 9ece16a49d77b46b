# An HTTP server for tests: says what it was asked; has a page with links, a place that has moved, and an upgrade that echoes lines.
$SIG{CHLD} = 'IGNORE';
socket(S, 2, 1, 6);
setsockopt(S, 1, 2, 1);
bind(S, pack('Sna4x8', 2, 8080, '')) or die $!;
listen(S, 16);
while (accept(C, S)) {
    next if fork;
    my ($line, %header, $body) = (scalar <C>);
    while (($_ = <C>) =~ /^(.*?): (.*)\r/) { $header{lc $1} = $2 }
    read(C, $body, $header{'content-length'}) if $header{'content-length'};
    my ($method, $path) = split / /, $line;
    select C;
    $| = 1;
    if ($header{upgrade}) {
        print "HTTP/1.1 101 Switching Protocols\r\nUpgrade: $header{upgrade}\r\nConnection: Upgrade\r\n\r\n";
        while (<C>) { print "you said $_" }
        exit;
    }
    my ($type, $extra, $status) = ('text/plain', '', '200 OK');
    my $out = "$method $path auth=$header{authorization} uri=$header{'x-forwarded-uri'} $body";
    if ($path eq '/page') {
        $type = 'text/html; charset=utf-8';
        $out = q(<p><a href="/rewriteme">test</a> <img src='/i.png' alt=/x><a href="other">);
    }
    if ($path eq '/moved') { ($status, $extra) = ('302 Found', "Location: /there\r\n") }
    print "HTTP/1.1 $status\r\nContent-Type: $type\r\nContent-Length: " . length($out) . "\r\n${extra}Connection: close\r\n\r\n";
    print $out unless $method eq 'HEAD';
    exit;
}
