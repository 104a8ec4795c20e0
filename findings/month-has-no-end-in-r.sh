#!/usr/bin/env bash
# Tools: R 4.2.2 with lubridate 1.9.2, Perl 5.36 with DateTime 1.59, Time::Piece, Date::Calc 6.4 and Date::Manip 6.91, PHP 8.2, Ruby 3.1, dateutils 0.4.10 and
#   GNU date (Debian 12, unpacked, not installed): the day on which a recording is due that is kept for a month, or for 21 years.
# Expected: a month from 31 January 2027 ends on 28 February, as in SQL and java.time, or on 3 March; in one language, at least in one library, it is one of the two,
#   and "its day has come" says the same as "it is older than a month".
# Happens: for lubridate there is no such day: the sum is NA, "not available", without a warning, for recordings of 7 days of the year, and of 29 February by years.
#   A comparison with NA is NA: subset() and filter leave those rows out, so that they are never due, and sum() of the due ones is NA. Perl has each answer:
#   DateTime gives 3 March forwards and 28 February backwards from 31 March; Date::Calc 28 February by Add_Delta_YM and 3 March by Add_Delta_YMD; Time::Piece 3 March both ways. PHP,
#   GNU date and R's seq() overflow, Ruby, Date::Manip and dateutils do not.
# Hurts: two of a hundred recordings are kept for ever by a report in R, which lists all others; by Perl's DateTime what is due by the one question is not yet by the
#   other; a month's end found by two tools of one night's job is three days apart, and with a longest period of a month one of them is over it.
# Instead: %m+% in R, and a check that no due day is NA; end_of_month => "limit" in DateTime; Add_Delta_YM; count from the recording forwards, in one place, and hand the date on.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p debs/partial root
apt-get install --yes --download-only --no-install-recommends -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    r-base-core r-cran-lubridate libdatetime-perl libdate-calc-perl libdate-manip-perl php8.2-cli ruby3.1 dateutils >apt.log 2>&1 ||
    { cat apt.log >&2; echo "apt-get update first?" >&2; exit 1; }
for package in debs/*.deb; do dpkg -x "$package" root; done
for package in r-cran-lubridate libdatetime-perl libdate-calc-perl libdate-manip-perl php8.2-cli ruby3.1 dateutils; do basename "$(ls debs/"${package}"_*.deb)" .deb; done
[ ! -d root/etc/R ] || { rm -rf root/usr/lib/R/etc; cp -rL root/etc/R root/usr/lib/R/etc; }
library=lib/x86_64-linux-gnu
export LD_LIBRARY_PATH="$work/root/usr/$library:$work/root/usr/lib/R/lib:$work/root/usr/$library/blas:$work/root/usr/$library/lapack"
export R_HOME="$work/root/usr/lib/R" R_LIBS_SITE="$work/root/usr/lib/R/site-library" EDITOR=vi PAGER=cat TZ=UTC
export PERL5LIB="$work/root/usr/share/perl5:$work/root/usr/$library/perl5/5.36"
export RUBYLIB="$work/root/usr/lib/ruby/3.1.0:$work/root/usr/$library/ruby/3.1.0"
cat > due.R <<'R'
suppressMessages(library(lubridate))
day <- function(text) as.Date(text)
tell <- function(name, ...) cat(sprintf("%-32s", name), paste(...), "\n")
tell("lubridate, + months()", day("2027-01-31") + months(1), day("2024-02-29") + years(21), day("2027-03-31") - months(1))
tell("lubridate, %m+%", day("2027-01-31") %m+% months(1), day("2024-02-29") %m+% years(21), day("2027-03-31") %m-% months(1))
tell("R, seq()", seq(day("2027-01-31"), by = "1 month", length.out = 2)[2], seq(day("2024-02-29"), by = "21 years", length.out = 2)[2], seq(day("2027-03-31"), by = "-1 month", length.out = 2)[2])
calls <- data.frame(recorded = seq(day("2025-01-01"), day("2025-12-31"), by = "1 day"))
calls$due <- calls$recorded + months(1)
due <- subset(calls, due <= day("2027-01-01"))
tell("lubridate, a call of each day", nrow(due), "of", nrow(calls), "are due a year later; their sum:", sum(calls$due <= day("2027-01-01")), "; never:", paste(format(calls$recorded[is.na(calls$due)], "%d.%m."), collapse = " "))
R
cat > due.pl <<'PERL'
use strict; use warnings;
use DateTime; use Time::Piece; use Date::Calc; use Date::Manip;
sub show { printf "%-32s %s\n", shift, join " ", @_ }
my $at = sub { my ($year, $month, $day) = split /-/, shift; DateTime->new(year => $year, month => $month, day => $day) };
show("DateTime", $at->("2027-01-31")->add(months => 1)->ymd, $at->("2024-02-29")->add(years => 21)->ymd, $at->("2027-03-31")->subtract(months => 1)->ymd);
my $piece = sub { Time::Piece->strptime(shift, "%Y-%m-%d") };
show("Time::Piece", $piece->("2027-01-31")->add_months(1)->ymd, $piece->("2024-02-29")->add_years(21)->ymd, $piece->("2027-03-31")->add_months(-1)->ymd);
my $text = sub { sprintf "%04d-%02d-%02d", @_ };
show("Date::Calc, Add_Delta_YM", $text->(Date::Calc::Add_Delta_YM(2027, 1, 31, 0, 1)), $text->(Date::Calc::Add_Delta_YM(2024, 2, 29, 21, 0)), $text->(Date::Calc::Add_Delta_YM(2027, 3, 31, 0, -1)));
show("Date::Calc, Add_Delta_YMD", $text->(Date::Calc::Add_Delta_YMD(2027, 1, 31, 0, 1, 0)), $text->(Date::Calc::Add_Delta_YMD(2024, 2, 29, 21, 0, 0)), $text->(Date::Calc::Add_Delta_YMD(2027, 3, 31, 0, -1, 0)));
show("Date::Manip", map { UnixDate(DateCalc(@$_), "%Y-%m-%d") } ["2027-01-31", "+ 1 month"], ["2024-02-29", "+ 21 years"], ["2027-03-31", "- 1 month"]);
PERL
cat > due.php <<'PHP'
<?php
$at = fn($day, $change) => (new DateTimeImmutable($day))->modify($change)->format("Y-m-d");
printf("%-32s %s %s %s\n", "PHP, DateTimeImmutable", $at("2027-01-31", "+1 month"), $at("2024-02-29", "+21 years"), $at("2027-03-31", "-1 month"));
PHP
cat > due.rb <<'RUBY'
printf("%-32s %s %s %s\n", "Ruby, Date", Date.new(2027, 1, 31) >> 1, Date.new(2024, 2, 29) >> 252, Date.new(2027, 3, 31) << 1)
RUBY
run() {
    root/usr/lib/R/bin/exec/R --vanilla --slave -f due.R 2>>run.log
    perl due.pl 2>>run.log
    root/usr/bin/php8.2 -n due.php
    root/usr/bin/ruby3.1 --disable-gems -rdate due.rb
    printf '%-32s %s %s %s\n' "GNU date" "$(date -d '2027-01-31 +1 month' +%F)" "$(date -d '2024-02-29 +21 years' +%F)" "$(date -d '2027-03-31 -1 month' +%F)"
    printf '%-32s %s %s %s\n' "dateutils" "$(root/usr/bin/dateutils.dadd 2027-01-31 +1mo)" "$(root/usr/bin/dateutils.dadd 2024-02-29 +21y)" "$(root/usr/bin/dateutils.dadd -- 2027-03-31 -1mo)"
}
seen=$(run | grep -v 'system Renviron' | sed 's/ *$//; s/ ;/;/') || { cat run.log >&2; exit 1; }
echo "$seen"
[ "$seen" = 'lubridate, + months()            NA NA NA
lubridate, %m+%                  2027-02-28 2045-02-28 2027-02-28
R, seq()                         2027-03-03 2045-03-01 2027-03-03
lubridate, a call of each day    358 of 365 are due a year later; their sum: NA; never: 29.01. 30.01. 31.01. 31.03. 31.05. 31.08. 31.10.
DateTime                         2027-03-03 2045-03-01 2027-02-28
Time::Piece                      2027-03-03 2045-03-01 2027-03-03
Date::Calc, Add_Delta_YM         2027-02-28 2045-02-28 2027-02-28
Date::Calc, Add_Delta_YMD        2027-03-03 2045-03-01 2027-03-03
Date::Manip                      2027-02-28 2045-02-28 2027-02-28
PHP, DateTimeImmutable           2027-03-03 2045-03-01 2027-03-03
Ruby, Date                       2027-02-28 2045-02-28 2027-02-28
GNU date                         2027-03-03 2045-03-01 2027-03-03
dateutils                        2027-02-28 2045-02-28 2027-02-28' ] || changed "other days"
echo "as described"
